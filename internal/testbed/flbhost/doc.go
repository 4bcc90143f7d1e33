// Package flbhost drives the built plugin as Fluent Bit v5.1.1 does, where no Fluent
// Bit is installed.
//
// A Go program cannot load a Go shared object (golang.org/issue/38692), and SIGKILL
// needs a process to die. So the host is a C program (folder host, compiled by Build)
// that loads the very .so, and this package starts and steers it: a Host has the
// callbacks in core's order and on core's threads, ticks aligned to whole seconds, the
// ring buffer of threaded inputs, pause and resume with core's fault (it stops the
// collector of the instance initialised last), shutdown, hot reload, and what Fluent
// Bit offers to plugins, flb_input_log_append included. Real is the same surface on a
// real Fluent Bit; a difference between the two is a bug in the host.
//
// # Basics
//
// Run starts a Host in a test and reports its violations when the test ends; Start is
// the same without a test. What the plugin delivered is in chunk files under
// Config.StorageDir, written while the append runs, so it survives Kill; Records reads
// them. A second Host on the same StorageDir is the restart after a crash.
//
// A violation is what would hurt in Fluent Bit without being seen: a buffer that core
// leaks or drops, bytes that no output can decode, data between Pause and Resume, a
// call of the API after Exit or with a foreign instance, memory that was not the
// plugin's to keep, a callback or an Exit that takes too long.
//
// # Caveats
//
// There are no filters, processors, routes or outputs: a chunk counts as delivered at
// the next flush (one tick) unless Outputs(false) was called, and its file stays for
// Records. Config.Tick below a second makes tests quick; everything that core does at
// whole seconds, its flush, its drain of the ring (a quarter of a tick) and the
// shutdown check, scales with it. The time a callback may take is measured without the
// time its thread waited for a processor. ReloadRefused is the refusal that Fluent Bit
// survives: the bad section stands before the plugin's. Where an unthreaded Go input
// was read before the bad section, v5.1.1 calls its Pause on the main thread and dies
// by SIGSEGV; the host does not imitate that. After a failed Init the process stays for
// one second before it ends with code 255, as core does.
package flbhost
