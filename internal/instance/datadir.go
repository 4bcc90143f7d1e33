package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// dataDir is a data directory in use: the store, and the tokens that could not be written
// to it yet. All inputs of the process that name the directory share it.
type dataDir struct {
	path, keyFile string
	store         store.Store
	keeper        *tokens.Keeper
	logs          logs.Relay // any of the inputs that use the directory

	inputs int // that have not left yet; guarded by resources.mu
}

// enter opens the data directory of an input, or joins the inputs that use it already.
func (r *resources) enter(cfg *config.Input, log *slog.Logger) (*dataDir, error) {
	if cfg.Store.Shared() {
		return nil, errors.New("store: this version keeps its state in SQLite only; use sqlite")
	}

	path, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	if d := r.dirAt(path); d != nil {
		if d.keyFile != cfg.KeyFile {
			return nil, fmt.Errorf("key_file: another [INPUT] uses the same data_dir %s with another key_file; "+
				"give both the same", path)
		}

		d.inputs++
		d.logs.Add(log)

		return d, nil
	}

	d, err := openDir(path, cfg.KeyFile, log)
	if err != nil {
		return nil, err
	}

	r.dirs = append(r.dirs, d)

	return d, nil
}

// openDir opens a data directory for its first input.
func openDir(path, keyFile string, log *slog.Logger) (*dataDir, error) {
	at := wiring.Location{DataDir: path, KeyFile: keyFile}

	key, err := at.Key()
	if err != nil {
		return nil, err
	}

	d := &dataDir{
		path:    path,
		keyFile: keyFile,
		inputs:  1,
	}
	d.logs.Add(log)
	relay := d.logs.Logger()

	d.store, err = wiring.OpenStore(context.Background(), wiring.StoreOptions{
		Location: at,
		Key:      key,
		Inputs:   true,
		Log:      relay,
	})
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}

	d.keeper = tokens.NewKeeper(d.store.Tokens(), relay)
	d.keeper.LogEnds()

	for _, w := range d.store.Warnings() {
		log.Warn("data_dir: " + w)
	}

	if d.store.CrashedMachine() {
		log.Warn("the machine stopped without warning last time: what was delivered in the two minutes before is " +
			"emitted again")
	}

	return d, nil
}

// dirAt returns the data directory at a path, by whatever name, or nil: a Keeper of its
// own over the same store would not know of tokens that another one could not write yet.
// r.mu must be held.
func (r *resources) dirAt(path string) *dataDir {
	here, err := os.Stat(path)

	for _, d := range r.dirs {
		if d.path == path {
			return d
		}

		if there, otherErr := os.Stat(d.path); err == nil && otherErr == nil && os.SameFile(here, there) {
			return d
		}
	}

	return nil
}

// leave gives the directory back when an input does not use it any more. The last one
// closes it.
func (r *resources) leave(d *dataDir, log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()

	d.logs.Remove(log)

	d.inputs--
	if d.inputs > 0 {
		return
	}

	r.dirs = slices.DeleteFunc(r.dirs, func(other *dataDir) bool { return other == d })

	if err := d.store.Close(); err != nil {
		log.Warn(fmt.Sprintf("data_dir could not be closed in good order: %v", err))
	}
}
