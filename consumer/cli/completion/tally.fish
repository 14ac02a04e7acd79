# SPDX-License-Identifier: Apache-2.0
# fish completion of the tally command.

set -l verbs run ps top devices buffers events check gateway gc doctor help
set -l filtered ps top devices buffers events check

complete -c tally -f
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a run -d 'Start a command, report at its end'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a ps -d 'Show what processes hold, once'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a top -d 'Show it again and again'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a devices -d 'Show each device'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a buffers -d 'List live buffers'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a events -d 'Print events as they come'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a check -d 'Compare with limits'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a gateway -d 'Serve the allocation server\'s clients'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a gc -d 'Remove what the killed have left'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a doctor -d 'Say what is wrong here'
complete -c tally -n "not __fish_seen_subcommand_from $verbs" -a help -d 'Show help'
complete -c tally -n '__fish_seen_subcommand_from help' -a "$verbs"

complete -c tally -n "__fish_seen_subcommand_from $filtered" -s a -l all-users -d 'What other users run, too'
complete -c tally -n "__fish_seen_subcommand_from $filtered" -s d -l device -x -d 'That device'
complete -c tally -n "__fish_seen_subcommand_from $filtered" -s p -l pid -x -a '(__fish_complete_pids)' -d 'That process'
complete -c tally -n "__fish_seen_subcommand_from $filtered" -s P -l pool -x -a 'dram l1 system l1_small trace cb kernel heap' -d 'That pool'
complete -c tally -n '__fish_seen_subcommand_from ps devices buffers events check gc doctor' -l json -d 'As JSON'
complete -c tally -n '__fish_seen_subcommand_from ps buffers events' -l strict -d 'Exit 6 if records were lost'
complete -c tally -n '__fish_seen_subcommand_from run' -l json -r -F -d 'Write the report as JSON'
complete -c tally -n '__fish_seen_subcommand_from run' -l ring -x -d 'Records per thread'
complete -c tally -n '__fish_seen_subcommand_from run' -a '(__fish_complete_subcommand --fcs-skip=2)'
complete -c tally -n '__fish_seen_subcommand_from top' -s i -l interval -x -d 'Seconds between looks'
complete -c tally -n '__fish_seen_subcommand_from buffers' -l leaks -d 'What ended processes never freed'
complete -c tally -n '__fish_seen_subcommand_from buffers' -l older-than -x -d 'At least so old'
complete -c tally -n '__fish_seen_subcommand_from buffers' -l top -x -d 'The largest ones'
complete -c tally -n '__fish_seen_subcommand_from events' -l min-size -x -d 'Bytes at least'
complete -c tally -n '__fish_seen_subcommand_from events' -l max-size -x -d 'Bytes at most'
complete -c tally -n '__fish_seen_subcommand_from events' -s n -l count -x -d 'So many, then end'
complete -c tally -n '__fish_seen_subcommand_from check' -l max-live -x -d 'Bytes held at most'
complete -c tally -n '__fish_seen_subcommand_from check' -l max-percent -x -d 'Of capacity'
complete -c tally -n '__fish_seen_subcommand_from check' -l no-leaks -d 'Nothing left by ended processes'
complete -c tally -n '__fish_seen_subcommand_from check' -l max-lost -x -d 'Records'
complete -c tally -n '__fish_seen_subcommand_from gateway' -s a -l all-users -d 'Other users, too'
complete -c tally -n '__fish_seen_subcommand_from gateway' -l socket -r -F -d 'Where to listen'
complete -c tally -n '__fish_seen_subcommand_from gateway' -l mode -x -d 'Who may connect'
complete -c tally -n '__fish_seen_subcommand_from gateway' -l group -x -a '(__fish_complete_groups)' -d 'The group of the socket'
complete -c tally -n '__fish_seen_subcommand_from gateway' -l log -d 'Print each event'
complete -c tally -n '__fish_seen_subcommand_from gateway' -l publish -d 'Write totals for their readers'
complete -c tally -n '__fish_seen_subcommand_from gateway' -l publish-version -x -a '3 4' -d 'Of the format'
complete -c tally -n '__fish_seen_subcommand_from gc' -s n -l dry-run -d 'Remove nothing'
complete -c tally -n '__fish_seen_subcommand_from gc' -l keep -x -d 'The newest of each user'
