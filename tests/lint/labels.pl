#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Every atomic access carries a label and names its partner, and the protocol page lists the pairs.
#
# The vocabulary is what include/tally/atomic.h defines. In ring/, producer/ and consumer/
#
#   - an ordered access (acquire, release, total) has a comment with a label of its own,
#     `L3 -> R2: why` or `L3 -> R2, R5: why`, on its lines or ending within the 3 lines above;
#   - a relaxed access has a comment within the 6 lines above that says why relaxed is enough, with
#     the word "relaxed" or "own...", or has a label; one that follows such an access directly
#     shares its comment, as has one of the thread's own order (first). A signal fence has a
#     comment of any kind;
#   - a label stands at one place; others that play the same part write it `L3'`, `L3''`, ...;
#   - what X names as its partner names X in turn;
#   - the pairs in the code and those on the page, the comment on top of ring/slot.h with its lines
#     ` * L3 -> R2  reason`, are the same.
#
# usage: tests/lint/labels.pl (in the root of the tree)
use strict;
use warnings;

my $LABEL = qr/[A-Z]{1,2}[0-9]+/;
my $PAIR = qr/\b($LABEL)('*)\s*->\s*($LABEL(?:\s*,\s*$LABEL)*)/;
my $errors = 0;
my (%defined_at, %partners); # by label; partners: label -> label -> where

sub complain
{
	my ($where, $what) = @_;
	print "$where: $what\n";
	$errors++;
}

sub slurp
{
	my ($file) = @_;
	open(my $in, '<', $file) or return '';
	local $/;
	return scalar <$in>;
}

my $TOKEN = qr{ /\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | . }sx;

# Splits C text into comments, [first line, last line, text], and code by line, strings emptied.
sub split_comments
{
	my ($text) = @_;
	my ($line, $code, @comments) = (1, '');
	while ($text =~ /\G($TOKEN)/g) {
		my $piece = $1;
		my $lines = $piece =~ tr/\n//;
		if ($piece =~ m{^/[*/]}) {
			push @comments, [$line, $line + $lines, $piece];
			$code .= ' ' . "\n" x $lines;
		} elsif ($piece =~ /^(["'])./) {
			$code .= "$1$1" . "\n" x $lines;
		} else {
			$code .= $piece;
		}
		$line += $lines;
	}
	return ($code, @comments);
}

# All accesses in the code: [name, first line, last line of its arguments].
sub accesses
{
	my ($code, $vocabulary) = @_;
	my @found;
	while ($code =~ /\b($vocabulary)\s*(?=(\((?:[^()]++|(?2))*\)))/g) {
		my ($name, $arguments) = ($1, $2);
		my $first = 1 + (substr($code, 0, $-[1]) =~ tr/\n//);
		push @found, [$name, $first, $first + ($arguments =~ tr/\n//)];
	}
	return @found;
}

sub check_file
{
	my ($file, $vocabulary) = @_;
	my ($code, @comments) = split_comments(slurp($file));
	if ($file eq 'ring/slot.h') { # the page is read elsewhere
		my ($before) = $code =~ /^(\s*)/;
		my $code_starts = 1 + ($before =~ tr/\n//);
		@comments = grep { $_->[0] >= $code_starts } @comments;
	}
	my @labels; # [last line, label, prime, partners, first line of its comment]
	for my $comment (@comments) {
		my ($first, $last, $text) = @$comment;
		while ($text =~ /$PAIR/g) {
			push @labels, { first => $first, last => $last, label => $1, prime => $2,
				partners => [split /\s*,\s*/, $3], used => 0 };
		}
	}

	my $excused_line = -1; # last line of the relaxed access before, when that was explained
	for my $access (accesses($code, $vocabulary)) {
		my ($name, $first, $last) = @$access;
		my $near = sub { # comment or label, lines above
			my ($it, $above) = @_;
			return $it->{first} <= $last && $it->{last} >= $first - $above;
		};
		if ($name =~ /_(relaxed|signal|first)$/) {
			my $words = $1 eq 'signal' ? qr/\w/ : qr/relaxed|\bown/i;
			my @near = grep { $near->($_, 6) } @labels;
			$_->{used} = 1 for @near;
			my $excuse = @near || $first <= $excused_line + 1;
			for my $comment (@comments) {
				my ($from, $to, $text) = @$comment;
				next unless $near->({ first => $from, last => $to }, 6);
				$excuse ||= $text =~ $words;
			}
			complain("$file:$first", "$name() without a word on why it is enough")
				unless $excuse;
			$excused_line = $last if $excuse;
			next;
		}
		my ($mine) = grep { !$_->{used} && $near->($_, 3) } @labels;
		if ($mine) {
			$mine->{used} = 1;
		} else {
			complain("$file:$first", "$name() without a label of its own");
		}
	}

	for my $it (@labels) {
		my ($label, $where) = ($it->{label}, "$file:$it->{last}");
		complain($where, "label $label stands at no atomic access") unless $it->{used};
		if ($it->{prime}) {
			$partners{"$label'"}{$_} = $where for @{$it->{partners}};
			next;
		}
		complain($where, "label $label is also at $defined_at{$label}; another place "
			. "that plays the same part writes $label'") if $defined_at{$label};
		$defined_at{$label} = $where;
		$partners{$label}{$_} = $where for @{$it->{partners}};
	}
}

# Pairs on the protocol page: {label}{partner} = where.
sub read_page
{
	my ($page) = slurp('ring/slot.h') =~ m{^((?:\s|/\*.*?\*/)*)}s;
	my (%pairs, $line);
	for (split /\n/, $page) {
		$line++;
		next unless /^\s*\*\s+$PAIR/;
		my $label = $1;
		$pairs{$label}{$_} = "ring/slot.h:$line" for split /\s*,\s*/, $3;
	}
	return \%pairs;
}

my @names = slurp('include/tally/atomic.h') =~ /^static inline [\w ]+?[ *](tally_\w+)\(/mg;
@names or complain('include/tally/atomic.h', 'defines no atomic access');
my $vocabulary = join '|', @names;
my $find = "find ring producer consumer -name '*.[ch]' -o -name '*.[ch]pp'";
my @files = split /\n/, `$find 2>/dev/null | sort`;
check_file($_, $vocabulary) for @files;

my $page = read_page();
for my $label (sort keys %partners) {
	my $base = $label =~ s/'$//r;
	complain((values %{$partners{$label}})[0], "label $label, but $base stands nowhere")
		unless $defined_at{$base};
	for my $partner (sort keys %{$partners{$label}}) {
		my $where = $partners{$label}{$partner};
		complain($where, "$label names $partner, which does not name $base in turn")
			unless $partners{$partner}{$base};
		complain($where, "the pair $base -> $partner is not on the page in ring/slot.h")
			unless $page->{$base}{$partner} || $page->{$partner}{$base};
	}
}
for my $label (sort keys %$page) {
	for my $partner (sort keys %{$page->{$label}}) {
		next if $partners{$label}{$partner} || $partners{$partner}{$label};
		complain($page->{$label}{$partner},
			"the pair $label -> $partner is not in the code");
	}
}
exit($errors ? 1 : 0);
