package archive

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"memexport/internal/workshop/process"
)

// diskCases test faults of the disk that holds a directory. Each disk is a file system that is
// mounted in a child process and visible only to that process.
var diskCases = []storeCase{
	{name: "full_disk", on: onFiles, run: fullDisk},
	{name: "file_size_limit", on: onFiles, run: fileSizeLimit},
	{name: "read_only_disk", on: onFiles, run: readOnlyDisk},
	{name: "permission_denied", on: onFiles, run: permissionDenied},
}

// childVariable is set in the environment of the child process.
const childVariable = "ARCHIVE_TEST_CHILD"

func inChild() bool { return os.Getenv(childVariable) != "" }

// child runs the current case in a child process with these attributes, and fails the test if the
// case fails there. It returns an error if the child cannot be started.
func (c *inStore) child(attributes *syscall.SysProcAttr) error {
	c.Helper()
	parts := strings.Split(c.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^"+strings.Join(parts, "$/^")+"$")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.SysProcAttr = attributes
	out, err := process.Run(c.Context(), cmd, process.RunOptions{})
	var failure *process.Failure
	if err != nil && !errors.As(err, &failure) {
		return err
	}
	if err != nil || !strings.Contains(out, "--- PASS: "+c.Name()) {
		c.Errorf("in the child process: %v\n%s", err, out)
	}
	return nil
}

// childWithMounts runs the current case in a child process that may mount file systems. An ordinary
// user needs a user namespace for that. If the kernel does not allow one, childWithMounts runs
// fallback instead.
func (c *inStore) childWithMounts(fallback func(*inStore)) {
	c.Helper()
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := c.child(attributes); err != nil {
		c.Logf("this process cannot mount file systems (%v); %s runs its fallback", err, c.Name())
		fallback(c)
	}
}

// mount mounts a small file system on the bucket's directory.
func (c *inStore) mount(options string) {
	c.Helper()
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		c.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", c.store.Dir, "tmpfs", 0, options); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = syscall.Unmount(c.store.Dir, 0) })
}

func fullDisk(c *inStore) {
	if !inChild() {
		c.childWithMounts(fileSizeLimit)
		return
	}
	c.mount("size=4m")
	data := noise(2<<20, 1)
	part := c.put(0, data)
	c.wantNoSpace(noise(3<<20, 2), syscall.ENOSPC)
	c.wantObjects(part) // no object remains of the part that did not fit
	c.wantFile(joined(marks, data), part)
	if err := c.DeleteExport(c.Context(), exportID); err != nil { // must work on a full disk
		c.Fatal(err)
	}
	c.put(0, noise(3<<20, 2))
}

// wantNoSpace stores a part that does not fit and checks the error.
func (c *inStore) wantNoSpace(data []byte, cause error) {
	c.Helper()
	_, err := c.Put(c.Context(), exportID, 0, 1, data)
	if !errors.Is(err, cause) || Denied(err) || Full(err) != (cause == syscall.ENOSPC) || !strings.Contains(err.Error(), "free space on the disk of BUCKET_URL") {
		c.Errorf("Put: %v", err)
	}
}

func fileSizeLimit(c *inStore) {
	if !inChild() {
		if err := c.child(nil); err != nil {
			c.Fatal(err)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
		c.Fatal(err)
	}
	part := c.put(0, noise(1<<19, 1))
	c.wantNoSpace(noise(2<<20, 2), syscall.EFBIG)
	c.wantObjects(part)
}

func readOnlyDisk(c *inStore) {
	if !inChild() {
		c.childWithMounts(permissionDenied)
		return
	}
	c.mount("")
	part := c.put(0, []byte("data"))
	if err := syscall.Mount("tmpfs", c.store.Dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		c.Fatal(err)
	}
	_, err := c.Put(c.Context(), exportID, 0, 1, []byte("more"))
	c.wantDenied("Put", err)
	c.wantDenied("CheckWrites", c.CheckWrites(c.Context()))
	c.wantDenied("DeleteExport", c.DeleteExport(c.Context(), exportID))
	c.wantFile(joined(marks, []byte("data")), part)
	c.wantObjects(part)
}

func permissionDenied(c *inStore) {
	// The rest runs in a child process, because it takes permissions away from its process.
	if !inChild() {
		if err := c.child(nil); err != nil {
			c.Fatal(err)
		}
		return
	}
	part := c.put(0, []byte("data"))
	restore := withoutPermission(c)
	_, putErr := c.Put(c.Context(), exportID, 0, 1, []byte("more"))
	_, readErr := io.ReadAll(c.File(c.Context(), bare, []Part{part}))
	checkErr, writeErr := c.Check(c.Context()), c.CheckWrites(c.Context())
	deleteErr := c.DeleteExport(c.Context(), exportID)
	restore()
	for what, err := range map[string]error{"Put": putErr, "Read": readErr, "Check": checkErr, "CheckWrites": writeErr, "DeleteExport": deleteErr} {
		c.wantDenied(what, err)
	}
	c.wantObjects(part)
}

// withoutPermission removes this process's permissions on the directory until restore is called.
// File modes do not restrict root. So if the test runs as root, withoutPermission makes the process
// access files as the user nobody.
func withoutPermission(c *inStore) (restore func()) {
	c.Helper()
	if err := os.Chmod(c.store.Dir, 0); err != nil {
		c.Fatal(err)
	}
	const unchanged, nobody = -1, 65534
	root := os.Geteuid() == 0
	if root {
		if err := syscall.Setreuid(unchanged, nobody); err != nil {
			c.Fatal(err)
		}
	}
	return func() {
		if root {
			if err := syscall.Setreuid(unchanged, 0); err != nil {
				c.Fatal(err)
			}
		}
		if err := os.Chmod(c.store.Dir, 0o700); err != nil {
			c.Fatal(err)
		}
	}
}
