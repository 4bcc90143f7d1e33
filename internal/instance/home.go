package instance

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// home is a data directory in use: the store, and the tokens that could not be written to it yet. All inputs of the process that name
// the directory share it.
type home struct {
	dir, keyFile string
	store        *store.Store
	keeper       *tokens.Keeper

	mu    sync.Mutex
	users []*logger
}

// log prints through any of the inputs that use the directory.
func (h *home) log(level collect.Level, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.users) > 0 {
		h.users[0].log(level, "", text)
	}
}

// enter opens the data directory of an input, or joins those that have.
func (s *shared) enter(cfg *config.Input, log *logger) (*home, error) {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.homes[dir]; h != nil {
		if h.keyFile != cfg.KeyFile {
			return nil, fmt.Errorf("key_file: another [INPUT] uses the same data_dir %s with another key_file; give both the same", dir)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.users = append(h.users, log)
		return h, nil
	}
	key, err := keyOf(cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	h := &home{dir: dir, keyFile: cfg.KeyFile, users: []*logger{log}}
	h.store, err = store.Open(store.Options{Dir: dir, Key: key, Inputs: true,
		Log: func(level, text string) { h.log(levelNamed(level), text) }})
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	h.keeper = tokens.NewKeeper(h.store.Tokens(), func(l slog.Level, text string) { h.log(levelNamed(strings.ToLower(l.String())), text) })
	for _, w := range h.store.Warnings() {
		h.log(collect.Warn, "data_dir: "+w)
	}
	if h.store.CrashedMachine() {
		h.log(collect.Warn, "the machine stopped without warning last time: what was handed over in the two minutes before is emitted again")
	}
	s.homes[dir] = h
	return h, nil
}

// leave gives the directory back; the last one closes it.
func (s *shared) leave(h *home, log *logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.mu.Lock()
	h.users = slices.DeleteFunc(h.users, func(l *logger) bool { return l == log })
	last := len(h.users) == 0
	h.mu.Unlock()
	if !last {
		return
	}
	delete(s.homes, h.dir)
	if err := h.store.Close(); err != nil {
		log.log(collect.Warn, "", fmt.Sprintf("data_dir could not be closed in good order: %v", err))
	}
}

// levelNamed reads the levels that the store names.
func levelNamed(level string) collect.Level {
	switch level {
	case "error":
		return collect.Error
	case "warn":
		return collect.Warn
	case "debug":
		return collect.Debug
	}
	return collect.Info
}
