# Completion of tidings for fish: source it, or put it into
# ~/.config/fish/completions/tidings.fish.
function __tidings_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c tidings -f -a '(__tidings_complete)'
