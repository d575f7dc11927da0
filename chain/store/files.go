package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// files is what a data directory needs of a file system beside its store: the
// operating system's, or one of a test that loses power.
type files interface {
	// create makes a file of mode 0600 that was not there.
	create(path string) (syncWriter, error)
	rename(from, to string) error
	// remove removes a file, if it is there.
	remove(path string) error
	removeAll(path string) error
	// mkdir makes a directory of mode 0700 that was not there.
	mkdir(path string) error
	exists(path string) (bool, error)
	// syncDir makes the names in a directory durable.
	syncDir(path string) error
}

type syncWriter interface {
	io.WriteCloser
	Sync() error
}

// tempSuffix follows a file's name in that of the one which is to replace it.
const tempSuffix = ".tmp"

// replaceFile durably puts a file in the place of the one at path, whole or
// not at all. content is told the temporary file, whose inode the rename keeps.
func replaceFile(disk files, path string, content func(temp string) ([]byte, error)) error {
	temp := path + tempSuffix
	if err := disk.remove(temp); err != nil {
		return err
	}
	f, err := disk.create(temp)
	if err != nil {
		return err
	}
	b, err := content(temp)
	if err == nil {
		_, err = f.Write(b)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := disk.rename(temp, path); err != nil {
		return err
	}
	return disk.syncDir(filepath.Dir(path))
}

// makeDir durably makes a directory, and those above it that are missing. A
// directory is lost with its name in the one above, so every one above is
// synced, those too that were there: a start that was cut short may have made
// them.
func makeDir(disk files, path string) error {
	above := filepath.Dir(path)
	if above == path {
		return nil
	}
	if err := makeDir(disk, above); err != nil {
		return err
	}
	there, err := disk.exists(path)
	if err == nil && !there {
		err = disk.mkdir(path)
	}
	if err != nil {
		return err
	}
	err = disk.syncDir(above)
	if there && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL)) {
		return nil // whoever made it could
	}
	return err
}

// osFiles are the operating system's.
type osFiles struct{}

func (osFiles) create(path string) (syncWriter, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osFiles) rename(from, to string) error { return os.Rename(from, to) }

func (osFiles) remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (osFiles) removeAll(path string) error { return os.RemoveAll(path) }

func (osFiles) mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (osFiles) exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (osFiles) syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
