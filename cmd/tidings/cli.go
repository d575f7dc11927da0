package main

import (
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the grammar. A flag's name is also its key in a configuration file
// and, behind TIDINGS_, its environment variable; so one name means one thing
// in all commands.
type cli struct {
	Output string `short:"o" default:"text" enum:"text,json,svg" placeholder:"text|json" help:"Form of the results."`
	Color  string `default:"auto" enum:"auto,always,never" placeholder:"auto|always|never" help:"Colour in text results; auto is on a terminal, unless NO_COLOR is set."`
	Config string `placeholder:"FILE" help:"TOML file with values for flags, by the flags' names."`

	Agent agentCmd `cmd:"" group:"node" help:"Run a node."`
	Key   keyCmd   `cmd:"" group:"node" help:"Make keys."`

	Backup backupCmd `cmd:"" group:"node" help:"Copy a data directory, of an agent that runs or not."`

	Publish publishCmd `cmd:"" group:"client" help:"Publish a status change, or many."`
	Get     getCmd     `cmd:"" group:"client" help:"Show the status of a subject."`
	Ls      lsCmd      `cmd:"" group:"client" help:"List subjects with their status."`
	History historyCmd `cmd:"" group:"client" help:"Show all updates of a subject, in causal order."`
	Why     whyCmd     `cmd:"" group:"client" help:"Show which update won each field of a subject."`
	Watch   watchCmd   `cmd:"" group:"client" help:"Follow updates, rolling up as they come."`

	Members membersCmd `cmd:"" group:"client" help:"Show the members of the mesh, or forget one."`
	Lag     lagCmd     `cmd:"" group:"client" help:"Show how far a node is on each chain."`
	Check   checkCmd   `cmd:"" group:"client" help:"Tell by the exit status whether a node is ready."`
	Verify  verifyCmd  `cmd:"" group:"client" help:"Check the hash links and signatures of chains."`

	Demo    demoCmd    `cmd:"" group:"other" help:"Run a small mesh and show what a consumer sees of it."`
	Replay  replayCmd  `cmd:"" group:"other" help:"Publish a file of status changes, each authority through a node of its own."`
	Bench   benchCmd   `cmd:"" group:"other" help:"Measure how fast nodes publish, and how soon the others have it."`
	Version versionCmd `cmd:"" group:"other" help:"Show what this program was built from."`

	Completion completionCmd `cmd:"" group:"other" help:"Print a script that completes commands in a shell."`
	Complete   completeCmd   `cmd:"" hidden:""`
	Help       helpCmd       `cmd:"" group:"other" help:"Show what a command does and takes."`
}

// clientFlags are what every command has that asks a node.
type clientFlags struct {
	Endpoints []string      `default:"http://127.0.0.1:7980" placeholder:"URL" help:"Nodes to ask: the next one where one does not answer."`
	Timeout   time.Duration `default:"10s" placeholder:"D" help:"How long one node may take to answer; 0 waits for ever."`
	TokenFile string        `placeholder:"FILE" help:"File with the bearer token to send."`
	Wait      time.Duration `placeholder:"D" help:"How long to ask again until a node answers, as one that starts will soon; 0 asks once. A check waits until it is met."`
}

// environmentName is the variable that gives a flag its value.
func environmentName(flag string) string {
	return "TIDINGS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// helpWithEnvironment adds a flag's default and its environment variable to its
// help.
func helpWithEnvironment(v *kong.Value) string {
	if v.Flag == nil || v.Name == "help" {
		return v.Help
	}
	more := "$" + environmentName(v.Name)
	if v.HasDefault {
		more = "default " + v.Default + ", " + more
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + more + ")."
}
