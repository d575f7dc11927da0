# Completion of tidings for bash: source it, or put it where bash-completion
# looks (such as ~/.local/share/bash-completion/completions/tidings).
_tidings() {
	local IFS=$'\n' line
	COMPREPLY=()
	for line in $("$1" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
		if [[ $line == :files ]]; then
			compopt -o filenames 2>/dev/null
			COMPREPLY+=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}"))
		else
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done
}
complete -F _tidings tidings
