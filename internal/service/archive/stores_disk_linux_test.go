package archive

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

// What befalls a directory. The disks are file systems that only a child process sees.
var diskCases = []storeCase{
	{"full_disk", onFiles, fullDisk},
	{"file_size_limit", onFiles, fileSizeLimit},
	{"read_only_disk", onFiles, readOnlyDisk},
	{"permission_denied", onFiles, permissionDenied},
}

// childVariable tells the test binary that it is the child.
const childVariable = "ARCHIVE_TEST_CHILD"

func inChild() bool { return os.Getenv(childVariable) != "" }

// child runs the case again in a process of its own. It returns an error that says why there can be
// none with these attributes, and fails the test if the case fails there.
func (c *inStore) child(attributes *syscall.SysProcAttr) error {
	c.Helper()
	parts := strings.Split(c.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^"+strings.Join(parts, "$/^")+"$")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.SysProcAttr = attributes
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+c.Name()) {
		c.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return nil
}

// childWithMounts is a child that may mount. An ordinary user may where the kernel gives him a user
// namespace; where it does not, the other cases have to do.
func (c *inStore) childWithMounts(otherwise func(*inStore)) {
	c.Helper()
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := c.child(attributes); err != nil {
		c.Logf("here nothing can be mounted (%v); doing %s in another way", err, c.Name())
		otherwise(c)
	}
}

// mount puts a small file system where the bucket is.
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
	c.tooMuch(noise(3<<20, 2), syscall.ENOSPC)
	c.wantObjects(part) // no half of the other
	c.wantFile(joined(marks, data), part)
	if err := c.DeleteExport(c.Context(), exportID); err != nil { // there always is room for that
		c.Fatal(err)
	}
	c.put(0, noise(3<<20, 2))
}

// tooMuch says that a part does not fit for now.
func (c *inStore) tooMuch(data []byte, cause error) {
	c.Helper()
	_, err := c.Put(c.Context(), exportID, 0, 1, data)
	if !errors.Is(err, cause) || Denied(err) || !strings.Contains(err.Error(), "make room on the disk of BUCKET_URL") {
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
	c.tooMuch(noise(2<<20, 2), syscall.EFBIG)
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
	c.wantError("Put", err, true)
	c.wantError("CheckWrites", c.CheckWrites(c.Context()), true)
	c.wantError("DeleteExport", c.DeleteExport(c.Context(), exportID), true)
	c.wantFile(joined(marks, []byte("data")), part)
	c.wantObjects(part)
}

func permissionDenied(c *inStore) {
	part := c.put(0, []byte("data"))
	restore := withoutPermission(c)
	_, putErr := c.Put(c.Context(), exportID, 0, 1, []byte("more"))
	_, readErr := io.ReadAll(c.File(c.Context(), bare, []Part{part}))
	checkErr, writeErr := c.Check(c.Context()), c.CheckWrites(c.Context())
	deleteErr := c.DeleteExport(c.Context(), exportID)
	restore()
	for what, err := range map[string]error{"Put": putErr, "Read": readErr, "Check": checkErr, "CheckWrites": writeErr, "DeleteExport": deleteErr} {
		c.wantError(what, err, true)
	}
	c.wantObjects(part)
}

// withoutPermission takes the right to the directory from this goroutine, until restore is called.
// Modes do not stop root, so that root becomes another user for file systems: a matter of threads.
func withoutPermission(c *inStore) (restore func()) {
	c.Helper()
	if err := os.Chmod(c.store.Dir, 0); err != nil {
		c.Fatal(err)
	}
	runtime.LockOSThread()
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := syscall.Setfsuid(nobody); err != nil {
			c.Fatal(err)
		}
	}
	return func() {
		if os.Geteuid() == 0 {
			_ = syscall.Setfsuid(0)
		}
		runtime.UnlockOSThread()
		if err := os.Chmod(c.store.Dir, 0o700); err != nil {
			c.Fatal(err)
		}
	}
}
