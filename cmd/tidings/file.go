package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// replaceFile gives path new content in one step: whoever reads it gets the
// old or the new, whole, whenever the process or the machine stops.
func replaceFile(path string, content []byte) error {
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), os.Getpid()))
	err := writeSynced(temporary, content)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		// The cause is worth more than what becomes of the remains.
		_ = os.Remove(temporary)
	}
	return err
}

// checkReplaceable reports what would keep replaceFile from giving path new
// content, before there is any.
func checkReplaceable(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory", path)
	} else if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file, and would be replaced by one", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func writeSynced(path string, content []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}
