#compdef tidings
# Completion of tidings for zsh: source it after compinit, or put it into a
# directory of $fpath as _tidings.
_tidings() {
	local line text
	local -a found
	for line in "${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		if [[ $line == :files ]]; then
			_files
		elif [[ -n $line ]]; then
			text=${${line%%$'\t'*}//:/\\:}
			[[ $line == *$'\t'* ]] && text+=:${line#*$'\t'}
			found+=("$text")
		fi
	done
	(( $#found )) && _describe tidings found
}
if [[ ${funcstack[1]} == _tidings ]]; then
	_tidings "$@"
else
	compdef _tidings tidings
fi
