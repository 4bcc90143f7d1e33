package instance

import (
	"errors"
	"fmt"
	"log/slog"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/logs"
)

// Open starts an [INPUT] section. If that fails, it prints a line for each fault,
// leaves nothing open and returns false as ok. forked says that the process was forked
// after the plugin had been loaded.
func (p *Process) Open(h Host, t Thread, forked bool) (handle Handle, ok bool) {
	lines := newLogQueue(h)
	defer lines.flush()

	i, err := p.open(h, t, forked, lines)
	if err != nil {
		log := lines.logger()
		for _, line := range faults(err) {
			log.Error(line)
		}

		return 0, false
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	p.next++
	p.instances[p.next] = i

	return p.next, true
}

// faults returns one line for each of the errors that err joins.
func faults(err error) []string {
	var lines []string
	for _, e := range advice.Flatten(err) {
		lines = append(lines, e.Error())
	}

	return lines
}

// open makes the instance of a section. It returns a panic as an error.
func (p *Process) open(h Host, t Thread, forked bool, lines *logQueue) (i *Instance, err error) {
	defer func() {
		if r := recover(); r != nil {
			i, err = nil, fmt.Errorf("a fault in the plugin, please report it: %v", r)
		}
	}()

	if forked {
		return nil, errors.New("fluent-bit runs as a daemon (-d, or `daemon on`), in which a Go plugin cannot work: " +
			"run it in the foreground, under systemd for instance")
	}

	log := lines.logger()

	p.warned.Do(func() {
		for _, w := range config.EnvironmentWarnings(config.Sources{}) {
			log.Warn(w.String())
		}
	})

	cfg, warnings, err := config.FromPlugin(h, config.Sources{})
	for _, w := range warnings {
		logs.Tenant(log, w.Tenant).Warn(w.String())
	}

	if err != nil {
		return nil, err
	}

	mode, err := modeOf(t, cfg, log)
	if err != nil {
		return nil, err
	}

	p.warnOfHost(h, cfg, log)

	if err := checkTags(h, cfg); err != nil {
		return nil, err
	}

	set, err := p.shared.assemble(cfg, mode, log)
	if err != nil {
		return nil, err
	}

	log.Info(set.introduction(cfg))

	return &Instance{
		host:   h,
		thread: t.ID,
		lines:  lines,
		log:    log,
		input:  set.input,
		set:    set,
	}, nil
}

// modeOf returns how an input on a thread delivers. It is an error to run threaded
// without having asked for it.
func modeOf(t Thread, cfg *config.Input, log *slog.Logger) (delivery.Mode, error) {
	if !t.Threaded() {
		return delivery.Sure, nil
	}

	if !cfg.AllowThreaded {
		return delivery.Sure, fmt.Errorf("`threaded` is on, where Fluent Bit can lose alerts without telling anybody: "+
			"add the line `Threaded Off` to the [INPUT] section of %s (or `allow_threaded on`, to run without "+
			"the promise)", subject(cfg))
	}

	log.Warn("runs threaded, best effort: an end of Fluent Bit can lose alerts; `Threaded Off` avoids that")

	return delivery.BestEffort, nil
}

// checkTags returns an error if a tenant has a tag of its own and the host does not let
// an input choose its tags.
func checkTags(h Host, cfg *config.Input) error {
	if h.CanAppend() {
		return nil
	}

	for _, t := range cfg.Examples() {
		if t.Tag != "" {
			return fmt.Errorf("`tag` of tenant %s: this host does not let an input choose its tags "+
				"(flb_input_log_append is missing); use an [INPUT] per tag", t.TenantName)
		}
	}

	return nil
}

// subject names a section by what it polls.
func subject(cfg *config.Input) string {
	if cfg.TenantsFile != "" {
		return "tenants_file " + cfg.TenantsFile
	}

	return "tenant " + cfg.Tenants[0].TenantName
}
