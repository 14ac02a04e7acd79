# SPDX-License-Identifier: Apache-2.0
# bash completion of the tally command. What each verb takes is in the table, a line a verb.

_tally_options()
{
	case $1 in
	run) echo '--json --ring' ;;
	ps) echo '-a --all-users -d --device -p --pid -P --pool --strict --json' ;;
	top) echo '-a --all-users -d --device -p --pid -P --pool -i --interval' ;;
	devices) echo '-a --all-users -d --device -p --pid -P --pool --json' ;;
	buffers) echo '-a --all-users -d --device -p --pid -P --pool --leaks --older-than --top --strict --json' ;;
	events) echo '-a --all-users -d --device -p --pid -P --pool --min-size --max-size -n --count --hold --strict --json' ;;
	check) echo '-a --all-users -d --device -p --pid -P --pool --max-live --max-percent --no-leaks --max-lost --json' ;;
	gateway) echo '-a --all-users --socket --mode --group --log --publish --publish-version' ;;
	gc) echo '-n --dry-run --keep --json' ;;
	doctor) echo '--json' ;;
	esac
}

_tally()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
	local verbs='run ps top devices buffers events check gateway gc doctor help' n

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$word")
		return
	fi
	if [[ $verb == run ]]; then # the command's own words, from the first that is no option
		for ((n = 2; n < COMP_CWORD; n++)); do
			case ${COMP_WORDS[n]} in
			--json | --ring) ((n++)) ;;
			--)
				((n++))
				break
				;;
			-*) ;;
			*) break ;;
			esac
		done
		if ((n < COMP_CWORD)); then
			declare -F _command_offset >/dev/null && _command_offset "$n"
			return
		fi
	fi
	case $before in
	-p | --pid)
		mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word")
		return
		;;
	-P | --pool)
		mapfile -t COMPREPLY < <(compgen -W \
			'dram l1 system l1_small trace cb kernel heap' -- "$word")
		return
		;;
	--json)
		if [[ $verb == run ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
			return
		fi
		;;
	esac
	case $verb in
	help) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word") ;;
	run)
		if [[ $word == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_tally_options run)" -- "$word")
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		fi
		;;
	*) mapfile -t COMPREPLY < <(compgen -W "$(_tally_options "$verb")" -- "$word") ;;
	esac
}

complete -F _tally tally
