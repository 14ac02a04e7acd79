#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A perl script that keeps the words of a text in hashes of hashes.
command -v perl >/dev/null || { echo "not installed: perl (make bench-deps)"; exit 77; }
. "$BENCH_PROGRAMS/text"
text $((BENCH_QUICK ? 2000 : 6000)) >in || exit
cat >job.pl <<'END'
open my $in, '<', 'in' or die;
open my $out, '>', 'out' or die;
my (%count, %after, %lines, $before);
while (<$in>) {
	for my $word (split) {
		$count{$word}++;
		$after{$before}{$word}++ if defined $before;
		push @{$lines{$word}}, $.;
		$before = $word;
	}
}
for my $word (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count) {
	my @next = sort { $after{$word}{$b} <=> $after{$word}{$a} || $a cmp $b } keys %{$after{$word}};
	print $out "$word $count{$word} $lines{$word}[0] ", join(' ', grep defined, @next[0 .. 2]), "\n";
}
END
printf '%s\n' out perl job.pl
