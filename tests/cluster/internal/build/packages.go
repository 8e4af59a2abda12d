package build

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// What the machine must have, and the Debian package that brings it.
var needs = []struct{ program, file, pack string }{
	{program: "cc", pack: "gcc"},
	{program: "c++", pack: "g++"},
	{file: "/usr/include/rocksdb/c.h", pack: "librocksdb-dev"},
	{file: "/usr/include/zstd.h", pack: "libzstd-dev"},
	{file: "/usr/include/lz4.h", pack: "liblz4-dev"},
	{file: "/usr/include/snappy-c.h", pack: "libsnappy-dev"},
	{file: "/usr/include/bzlib.h", pack: "libbz2-dev"},
	{file: "/usr/include/zlib.h", pack: "zlib1g-dev"},
	{program: "fusermount", pack: "fuse"},
	{program: "mkfs.ext4", pack: "e2fsprogs"},
	{program: "mount", pack: "mount"},
	{program: "prometheus", pack: "prometheus"},
}

// Packages installs what is missing, or names it with the command where that is not allowed.
func Packages(progress func(string)) error {
	var missing []string
	for _, n := range needs {
		if !present(n.program, n.file) {
			missing = append(missing, n.pack)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing, " ")
	byHand := "apt-get update && apt-get install " + list
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing: %s. As root: %s", list, byHand)
	}
	progress("installing " + list)
	install := append([]string{"install", "-y", "-q", "--no-install-recommends"}, missing...)
	if apt(install...) == nil {
		return nil
	}
	if err := apt("update", "-q"); err != nil {
		return fmt.Errorf("%w. By hand: %s", err, byHand)
	}
	if err := apt(install...); err != nil {
		return fmt.Errorf("%w. By hand: %s", err, byHand)
	}
	return nil
}

func present(program, file string) bool {
	if program != "" {
		_, err := exec.LookPath(program)
		return err == nil
	}
	_, err := os.Stat(file)
	return err == nil
}

func apt(args ...string) error {
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, output)
	}
	return nil
}

// Devices tells what the kernel does not offer.
func Devices() error {
	for device, module := range map[string]string{"/dev/fuse": "fuse", "/dev/loop-control": "loop"} {
		if _, err := os.Stat(device); err == nil {
			continue
		}
		_ = exec.Command("modprobe", module).Run()
		if _, err := os.Stat(device); err != nil {
			return fmt.Errorf("there is no %s: the kernel needs the module %s", device, module)
		}
	}
	return nil
}
