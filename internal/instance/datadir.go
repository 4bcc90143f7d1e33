package instance

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/lease"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// dataDir is a store in use, in a data directory or in a database, and the tokens that
// could not be written to it yet. All inputs of the process that name it share it.
type dataDir struct {
	path, keyFile string        // no path with a database
	settings      *config.Input // of the input that opened it
	store         store.Store
	keeper        *tokens.Keeper
	logs          logs.Relay // logs through any of the inputs that use it

	inputs int // how many inputs use it; guarded by resources.mu

	joining sync.Mutex // guards the fields below; held while the process joins or leaves
	node    *lease.Node
	members int // inputs that use the node
}

// enter opens the store of an input, or joins the inputs that use it already.
func (r *resources) enter(cfg *config.Input, log *slog.Logger) (*dataDir, error) {
	path, place := "", "store"

	if !cfg.Store.Shared() {
		var err error
		if path, err = filepath.Abs(cfg.DataDir); err != nil {
			return nil, fmt.Errorf("data_dir: %w", err)
		}

		place = "data_dir " + path
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	if d := r.dirAt(path, cfg); d != nil {
		for _, key := range cfg.DiffersOnStore(d.settings) {
			return nil, fmt.Errorf("%s: another [INPUT] uses the same %s with another %s; give both the same",
				key, place, key)
		}

		d.inputs++
		d.logs.Add(log)

		return d, nil
	}

	d, err := openDir(path, cfg, log)
	if err != nil {
		return nil, err
	}

	r.dirs = append(r.dirs, d)

	return d, nil
}

// openDir opens a store for its first input.
func openDir(path string, cfg *config.Input, log *slog.Logger) (*dataDir, error) {
	at := wiring.Location{URL: cfg.Store.URL, DataDir: path, KeyFile: cfg.KeyFile}

	key, err := at.Key()
	if err != nil {
		return nil, err
	}

	d := &dataDir{
		path:     path,
		keyFile:  cfg.KeyFile,
		settings: cfg,
		inputs:   1,
	}
	d.logs.Add(log)
	relay := d.logs.Logger()

	d.store, err = wiring.OpenStore(context.Background(), wiring.StoreOptions{
		Location:  at,
		Key:       key,
		Inputs:    true,
		CallLimit: callLimit(cfg.Store),
		Log:       relay,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.key(), err)
	}

	d.keeper = tokens.NewKeeper(d.store.Tokens(), relay)
	d.keeper.LogEnds()

	if at.Shared() {
		d.keeper.RequireLocks()
	}

	for _, w := range d.store.Warnings() {
		log.Warn(d.key() + ": " + w)
	}

	if d.store.CrashedMachine() {
		log.Warn("the machine stopped without warning last time: what was delivered in the two minutes before is " +
			"emitted again")
	}

	return d, nil
}

// callLimit returns how long a call of a database may take: a lease has to be renewed in
// time even if one call hangs.
func callLimit(s config.Store) time.Duration {
	return min(max(2*time.Second, s.LeaseTTL/3), 10*time.Second)
}

// key returns the key of the configuration that names the store.
func (d *dataDir) key() string {
	if d.settings.Store.Shared() {
		return "store"
	}

	return "data_dir"
}

// dirAt returns the dataDir in use for the store of an input, or nil. A directory is
// found under any of its names: a second Keeper over the same store would not know of
// tokens that the first one could not write yet. r.mu must be held.
func (r *resources) dirAt(path string, cfg *config.Input) *dataDir {
	here, err := os.Stat(path)

	for _, d := range r.dirs {
		if d.settings.Store.Shared() || cfg.Store.Shared() {
			if d.settings.Store.URL.Equal(cfg.Store.URL) {
				return d
			}

			continue
		}

		if d.path == path {
			return d
		}

		if there, otherErr := os.Stat(d.path); err == nil && otherErr == nil && os.SameFile(here, there) {
			return d
		}
	}

	return nil
}

// leave is called when an input does not use the store any more. The last one closes
// it.
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
		log.Warn(fmt.Sprintf("%s could not be closed properly: %v", d.key(), err))
	}
}
