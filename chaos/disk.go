package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"memexport/internal/workshop/process"
)

// diskSize is the size of the bucket's disk. The files of a run need a tenth of it.
const diskSize = 1 << 30

// mountDisk mounts a file system for the bucket alone, which faults can fill, freeze and make read-only. Only root can
// do that, and only on Linux.
func (s *stack) mountDisk(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("only root can mount it")
	}
	image, mount := filepath.Join(s.dir, "disk.img"), filepath.Dir(s.bucket)
	if err := errors.Join(os.MkdirAll(mount, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, diskSize)); err != nil {
		return err
	}
	if err := command(ctx, "mkfs.ext4", "-q", "-m", "0", image); err != nil { // -m 0: no blocks are reserved for root
		return err
	}
	if err := command(ctx, "mount", "-o", "loop,discard", image, mount); err != nil {
		return err
	}
	s.disk = mount
	return nil
}

func command(ctx context.Context, name string, args ...string) error {
	_, err := process.Run(ctx, exec.Command(name, args...), process.RunOptions{})
	return err
}

// unmountDisk unmounts the disk of the bucket, if there is one. All other processes that use it must have ended.
func (s *stack) unmountDisk() {
	if s.disk == "" {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	// A signal may have interrupted a fault while the disk was frozen. Otherwise thawDisk fails, which is fine.
	_ = s.thawDisk(ctx)
	err := command(ctx, "umount", s.disk)
	for err != nil && pause(ctx, 500*time.Millisecond) {
		err = command(ctx, "umount", s.disk)
	}
	if err != nil {
		s.tell("the disk stays mounted; run umount %s: %v", s.disk, err)
	}
}

func (s *stack) filler() string { return filepath.Join(s.disk, "filler") }

// fillDisk creates a file that takes all the space that is left.
func (s *stack) fillDisk(ctx context.Context) error {
	var free syscall.Statfs_t
	if err := syscall.Statfs(s.disk, &free); err != nil {
		return err
	}
	size := int64(free.Bavail) * int64(free.Bsize)
	for size > 0 && command(ctx, "fallocate", "--length", fmt.Sprint(size), s.filler()) != nil {
		size -= 1 << 20 // the file system itself needs some of the free space
	}
	file, err := os.OpenFile(s.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	return errors.Join(ignore(err, syscall.ENOSPC), file.Close())
}

func (s *stack) freeDisk(context.Context) error { return ignore(os.Remove(s.filler()), fs.ErrNotExist) }

// protectDisk makes the disk read-only. The kernel refuses that while a file is open for writing, so protectDisk tries
// several times.
func (s *stack) protectDisk(ctx context.Context) error {
	s.refuse(time.Now().Add(time.Hour)) // until unprotectDisk is called
	err := command(ctx, "mount", "-o", "remount,ro", s.disk)
	for attempt := 0; err != nil && attempt < 50 && pause(ctx, 100*time.Millisecond); attempt++ {
		err = command(ctx, "mount", "-o", "remount,ro", s.disk)
	}
	return err
}

func (s *stack) unprotectDisk(ctx context.Context) error {
	err := command(ctx, "mount", "-o", "remount,rw", s.disk)
	if err == nil {
		s.refuse(time.Now())
	}
	return err
}

// refuse records until when an export may fail with STORAGE_DENIED: see docs/stores.md.
func (s *stack) refuse(until time.Time) { s.refused.Store(&until) }

// freezeDisk makes every write to the disk hang, and the processes that write cannot even be killed.
func (s *stack) freezeDisk(ctx context.Context) error {
	s.frozen.Store(true)
	return command(ctx, "fsfreeze", "--freeze", s.disk)
}

func (s *stack) thawDisk(ctx context.Context) error {
	err := command(ctx, "fsfreeze", "--unfreeze", s.disk)
	s.frozen.Store(false)
	return err
}

// loseBucket puts a file in the place of the bucket, so that every access fails, as when a disk is gone.
func (s *stack) loseBucket(context.Context) error {
	s.refuse(time.Now()) // only an upload that has already begun may fail with STORAGE_DENIED
	if err := os.Rename(s.bucket, s.bucket+".away"); err != nil {
		return err
	}
	return os.WriteFile(s.bucket, nil, 0o600)
}

func (s *stack) findBucket(context.Context) error {
	if _, err := os.Stat(s.bucket + ".away"); err != nil {
		return nil
	}
	if err := ignore(os.Remove(s.bucket), fs.ErrNotExist); err != nil {
		return err
	}
	return os.Rename(s.bucket+".away", s.bucket)
}

// ignore returns err unless it is expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
