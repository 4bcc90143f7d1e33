package flbhost

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

//go:embed host/*.c host/*.h
var hostSource embed.FS

// BuildOptions choose a variant of the host.
type BuildOptions struct {
	// NoDirectAppend builds a host that does not export flb_input_log_append, like a
	// program that embeds Fluent Bit.
	NoDirectAppend bool
	// CC is the C compiler; empty means $CC, then cc.
	CC string
}

// ErrNoCompiler is returned by Build when there is no C compiler to build the host with.
var ErrNoCompiler = errors.New("no C compiler: install gcc or set CC")

// Build compiles the host into dir and returns the program's path. An existing build of
// the same source and options is used again, also when several processes share dir. An
// empty dir is a folder of the user's cache.
func Build(ctx context.Context, dir string, o BuildOptions) (string, error) {
	flags := []string{"-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"}

	link := []string{"-ldl", "-lpthread"}
	if !o.NoDirectAppend {
		link = append(link, "-rdynamic")
	}

	return compile(ctx, dir, "flbhost", o.CC, hostSource, "host", flags, link)
}

// compile builds all .c files of one folder of src into dir and names the result after
// their content.
func compile(
	ctx context.Context,
	dir, name, cc string,
	src embed.FS,
	folder string,
	flags, link []string,
) (string, error) {
	cc, err := compiler(cc)
	if err != nil {
		return "", err
	}

	if dir == "" {
		if dir, err = cacheDir(); err != nil {
			return "", err
		}
	}

	entries, err := src.ReadDir(folder)
	if err != nil {
		return "", fmt.Errorf("flbhost: embedded source: %w", err)
	}

	sum := sha256.New()
	fmt.Fprintln(sum, cc, flags, link)

	files := make(map[string][]byte, len(entries))
	for _, e := range entries {
		text, err := src.ReadFile(folder + "/" + e.Name())
		if err != nil {
			return "", fmt.Errorf("flbhost: embedded source: %w", err)
		}

		files[e.Name()] = text
		fmt.Fprintf(sum, "%s %d\n%s", e.Name(), len(text), text)
	}

	out := filepath.Join(dir, name+"-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}

	return out, compileFiles(ctx, cc, out, files, flags, link)
}

// cacheDir returns the user's cache or, for a user without a home, a folder that only
// this user can write: programs in it are executed.
func cacheDir() (string, error) {
	if cache, err := os.UserCacheDir(); err == nil {
		return filepath.Join(cache, "fluent-bit-defender"), nil
	}

	dir := filepath.Join(os.TempDir(), fmt.Sprintf("fluent-bit-defender-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("flbhost: %w", err)
	}

	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("flbhost: %w", err)
	}

	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() || info.Mode() != os.ModeDir|0o700 {
		return "", fmt.Errorf("flbhost: %s is not a folder of this user alone: %w", dir, os.ErrPermission)
	}

	return dir, nil
}

func compileFiles(ctx context.Context, cc, out string, files map[string][]byte, flags, link []string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}

	work, err := os.MkdirTemp(filepath.Dir(out), "build-")
	if err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}
	defer os.RemoveAll(work)

	args := append([]string{}, flags...)
	args = append(args, "-o", "program")

	for name, text := range files {
		if err := os.WriteFile(filepath.Join(work, name), text, 0o644); err != nil {
			return fmt.Errorf("flbhost: %w", err)
		}

		if strings.HasSuffix(name, ".c") {
			args = append(args, name)
		}
	}

	cmd := exec.CommandContext(ctx, cc, append(args, link...)...)

	cmd.Dir = work
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("flbhost: %s: %w\n%s", cc, err, text)
	}
	// The rename makes a build by another process at the same moment harmless.
	if err := os.Rename(filepath.Join(work, "program"), out); err != nil {
		return fmt.Errorf("flbhost: %w", err)
	}

	return nil
}

func compiler(cc string) (string, error) {
	if cc == "" {
		cc = os.Getenv("CC")
	}

	if cc == "" {
		cc = "cc"
	}

	path, err := exec.LookPath(cc)
	if err != nil {
		return "", fmt.Errorf("flbhost: %w", errors.Join(ErrNoCompiler, err))
	}

	return path, nil
}
