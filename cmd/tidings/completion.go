package main

import (
	"embed"
	"strings"

	"github.com/alecthomas/kong"
)

// The scripts ask the program itself what may come next, so they fit whichever
// version is installed.
//
//go:embed completion
var completionScripts embed.FS

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is the long text of the command.
func (c *completionCmd) Help() string {
	return "Prints a script that makes the shell complete commands, flags and their values. The script says where to put it."
}

// Run prints the script for a shell.
func (c *completionCmd) Run(s *session) error {
	script, err := completionScripts.ReadFile("completion/tidings." + c.Shell)
	if err != nil {
		return err
	}
	if s.json() {
		return s.printJSON(map[string]string{"shell": c.Shell, "script": string(script)})
	}
	_, err = s.out.Write(script)
	return err
}

// completeCmd is what the scripts call.
type completeCmd struct {
	Words []string `arg:"" optional:"" help:"What was typed behind the program's name; the last word is the one to complete."`
}

// Run prints what the last word may become, one a line with its description
// behind a tab, or ":files" for the names of files.
func (c *completeCmd) Run(s *session, k *kong.Context) error {
	for _, f := range complete(k.Model.Node, c.Words) {
		line := f.text
		if f.help != "" {
			line += "\t" + f.help
		}
		if err := s.printLine("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// completion is one way to go on.
type completion struct{ text, help string }

// complete returns how the last word may go on after those before it.
func complete(at *kong.Node, words []string) []completion {
	words = joinValues(words)
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	var takes *kong.Flag // the word before is a flag that takes a value
	given := 0           // positional arguments before
	for _, word := range words[:len(words)-1] {
		switch {
		case takes != nil:
			takes = nil
		case strings.HasPrefix(word, "-") && word != "-":
			if f := flagOf(at, word); f != nil && !f.IsBool() && !strings.Contains(word, "=") {
				takes = f
			}
		default:
			if child := childOf(at, word); child != nil {
				at, given = child, 0
			} else {
				given++
			}
		}
	}
	name, value, inWord := strings.Cut(last, "=")
	switch {
	case takes != nil:
		return values(takes.Value, last, "")
	case strings.HasPrefix(last, "-") && inWord:
		if f := flagOf(at, name); f != nil {
			return values(f.Value, value, name+"=")
		}
		return nil
	case strings.HasPrefix(last, "-"):
		return flagNames(at, last)
	}
	if at.Name == "help" && given == 0 {
		return commandNames(at.Parent, last)
	}
	found := commandNames(at, last)
	if given < len(at.Positional) {
		found = append(found, values(at.Positional[given], last, "")...)
	}
	return found
}

// joinValues takes out the "=" that bash makes a word of its own, and an empty
// value behind it: --output = js is --output js.
func joinValues(words []string) []string {
	var out []string
	for i, word := range words {
		if word == "=" && i > 0 {
			if i == len(words)-1 {
				out = append(out, "")
			}
			continue
		}
		out = append(out, word)
	}
	return out
}

// flagOf is the flag that a word names, of a command or those above it.
func flagOf(at *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	for _, group := range at.AllFlags(true) {
		for _, f := range group {
			if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

func childOf(at *kong.Node, name string) *kong.Node {
	for _, child := range at.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

func flagNames(at *kong.Node, prefix string) (found []completion) {
	for _, group := range at.AllFlags(true) {
		for _, f := range group {
			if text := "--" + f.Name; strings.HasPrefix(text, prefix) {
				found = append(found, completion{text, f.Help})
			}
		}
	}
	return found
}

func commandNames(at *kong.Node, prefix string) (found []completion) {
	for _, child := range at.Children {
		if !child.Hidden && strings.HasPrefix(child.Name, prefix) {
			found = append(found, completion{child.Name, child.Help})
		}
	}
	return found
}

// values are what a flag or an argument may be: what its enum says, or files
// where it is called one. They go behind a prefix.
func values(v *kong.Value, start, prefix string) (found []completion) {
	if v.Enum != "" {
		for _, text := range v.EnumSlice() {
			if strings.HasPrefix(text, start) {
				found = append(found, completion{text: prefix + text})
			}
		}
		return found
	}
	if isFile(v) {
		return []completion{{text: ":files"}}
	}
	return nil
}

// isFile reports whether a value is the name of a file or a directory.
func isFile(v *kong.Value) bool {
	if v.Flag == nil {
		return v.Name == "file"
	}
	return strings.HasPrefix(v.Flag.PlaceHolder, "FILE") || v.Flag.PlaceHolder == "DIR"
}
