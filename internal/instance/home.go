package instance

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// home is a data directory in use: the store, and the tokens that could not be written
// to it yet. All inputs of the process that name the directory share it.
type home struct {
	dir, keyFile string
	store        *store.Store
	keeper       *tokens.Keeper

	inputs int // that have not left yet; guarded by shared.mu

	mu      sync.Mutex
	loggers []*logger
}

// log prints through any of the inputs that use the directory.
func (h *home) log(level collect.Level, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if len(h.loggers) > 0 {
		h.loggers[0].log(level, "", text)
	}
}

// speak lets the home print through an input, hush no longer.
func (h *home) speak(log *logger) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.loggers = append(h.loggers, log)
}

func (h *home) hush(log *logger) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.loggers = slices.DeleteFunc(h.loggers, func(l *logger) bool { return l == log })
}

// enter opens the data directory of an input, or joins those that have.
func (s *shared) enter(cfg *config.Input, log *logger) (*home, error) {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if h := s.homeAt(dir); h != nil {
		if h.keyFile != cfg.KeyFile {
			return nil, fmt.Errorf(
				"key_file: another [INPUT] uses the same data_dir %s with another key_file; give both the same",
				dir,
			)
		}

		h.inputs++
		h.speak(log)

		return h, nil
	}

	key, err := ReadKey(cfg.KeyFile)
	if err != nil {
		return nil, err
	}

	h := &home{
		dir:     dir,
		keyFile: cfg.KeyFile,
		inputs:  1,
		loggers: []*logger{log},
	}

	h.store, err = store.Open(store.Options{
		Dir:    dir,
		Key:    key,
		Inputs: true,
		Log:    func(level, text string) { h.log(levelNamed(level), text) },
	})
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}

	h.keeper = tokens.NewKeeper(
		h.store.Tokens(),
		func(l slog.Level, text string) { h.log(levelNamed(strings.ToLower(l.String())), text) },
	)
	for _, w := range h.store.Warnings() {
		h.log(collect.Warn, "data_dir: "+w)
	}

	if h.store.CrashedMachine() {
		h.log(
			collect.Warn,
			"the machine stopped without warning last time: what was handed over in the two minutes before is emitted again",
		)
	}

	s.homes = append(s.homes, h)

	return h, nil
}

// homeAt finds the home of a directory, by whatever name: a Keeper over the same store
// would not know of tokens that the other could not write yet.
func (s *shared) homeAt(dir string) *home {
	here, err := os.Stat(dir)
	for _, h := range s.homes {
		if h.dir == dir {
			return h
		}

		if there, otherErr := os.Stat(h.dir); err == nil && otherErr == nil && os.SameFile(here, there) {
			return h
		}
	}

	return nil
}

// leave gives the directory back, when the input uses it no more; the last one closes it.
func (s *shared) leave(h *home, log *logger) {
	s.mu.Lock()
	defer s.mu.Unlock()

	h.hush(log)

	if h.inputs--; h.inputs > 0 {
		return
	}

	s.homes = slices.DeleteFunc(s.homes, func(other *home) bool { return other == h })

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
