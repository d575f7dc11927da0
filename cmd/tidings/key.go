package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/tidings-mesh/tidings/gossip"
)

type keyCmd struct {
	New keyNewCmd `cmd:"" help:"Make a mesh key."`
}

type keyNewCmd struct {
	File string `arg:"" optional:"" help:"File to make, which must not be there yet; standard output if absent."`
}

// Help is the long text of the command.
func (c *keyNewCmd) Help() string {
	return "A mesh key is 32 random bytes in base64. A key file holds one a line: the first is used, all are accepted. Keep it to" +
		" yourself (mode 0600): whoever has it may join the mesh."
}

// Run makes a mesh key.
func (c *keyNewCmd) Run(s *session) error {
	key := gossip.NewMeshKey()
	if c.File == "" {
		text := strings.TrimSuffix(string(key.Text()), "\n")
		if s.json() {
			return s.printJSON(map[string]string{"key": text})
		}
		return s.printLine("%s", text)
	}
	err := gossip.WriteMeshKeys(c.File, key)
	switch {
	case errors.Is(err, fs.ErrExist):
		// A mesh would lose its key.
		return fmt.Errorf("%s is there already: remove it, or choose another name", c.File)
	case err != nil:
		return err
	case s.json():
		return s.printJSON(map[string]string{"file": c.File})
	}
	return s.printLine("%s", plain(c.File))
}
