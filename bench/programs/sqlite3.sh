#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sqlite3 fills a database in memory, then asks it for sums, joins and text.
command -v sqlite3 >/dev/null || { echo "not installed: sqlite3 (make bench-deps)"; exit 77; }
rows=$((BENCH_QUICK ? 5000 : 40000))
cat >job.sql <<END
.output out
create table item(id integer primary key, name text, parent integer, size integer);
insert into item with recursive n(i) as (select 1 union all select i + 1 from n where i < $rows)
	select i, printf('name %x of %d', i * 2654435 % 1048573, i), i / 7, i * 40503 % 65536 from n;
create index by_name on item(name);
create index by_parent on item(parent);
select size % 16, count(*), sum(size), min(name), max(name) from item group by 1 order by 1;
select p.name, count(*), group_concat(c.name) from item p join item c on c.parent = p.id
	group by p.id order by sum(c.size) desc limit 100;
update item set name = upper(name) where size % 3 = 0;
select substr(name, 6, 3), count(*) from item where name like '%A%' group by 1 order by 2 desc, 1
	limit 50;
END
printf '%s\n' out sqlite3 :memory: '.read job.sql'
