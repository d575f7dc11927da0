package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dirLock is the hold on a data directory. The file is never removed: a lock
// on a removed file would not keep out one who makes it anew.
type dirLock struct {
	file *os.File
	held io.Closer // ends the lock; may be file
}

// lockDir takes the lock, or says who has it. It changes no byte.
func lockDir(path string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s is not writable: %w", path, err)
	}
	held, busy, err := flock(f)
	if err == nil && !busy {
		return &dirLock{f, held}, nil
	}
	defer f.Close()
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	b, _ := io.ReadAll(io.LimitReader(f, 32)) // only for the message
	switch pid := strings.TrimSpace(string(b)); pid {
	case "":
		return nil, fmt.Errorf("%w: data directory %s is in use by another process", ErrInUse, path)
	case strconv.Itoa(os.Getpid()):
		return nil, fmt.Errorf("%w: data directory %s is in use by this process (pid %s)", ErrInUse, path, pid)
	default:
		return nil, fmt.Errorf("%w: data directory %s is in use by another process (pid %s)", ErrInUse, path, pid)
	}
}

// sign leaves the process ID for whom the lock keeps out.
func (l *dirLock) sign() error {
	return l.put(strconv.Itoa(os.Getpid()) + "\n")
}

func (l *dirLock) put(text string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(text), 0)
	return err
}

// release gives the lock up.
func (l *dirLock) release() error {
	err := l.held.Close()
	if l.held != l.file {
		err = errors.Join(err, l.file.Close())
	}
	return err
}
