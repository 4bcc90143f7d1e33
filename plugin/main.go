// Package main is the Fluent Bit input plugin `defender`, built as in_defender.so: the
// C boundary and nothing else. Every function that Fluent Bit looks up by name converts
// its arguments and calls package instance.
package main

/*
#include <stdlib.h>
#include "boundary.h"
*/
import "C"

import (
	"io"
	"log"
	"os"
	"unsafe"

	"github.com/fluent/fluent-bit-go/input"

	"fluent-bit-defender/internal/instance"
)

// process is the registry that callbacks without a context need. loadedBy is the id of
// the process that loaded this file: a child that was forked afterwards (fluent-bit -d)
// has no goroutines.
var (
	process  = instance.NewProcess()
	loadedBy = os.Getpid()
)

// Go's own packages print lines that may quote a response, with a secret in it, or with
// GODEBUG=http2debug the headers of every request, all past Fluent Bit's log_level.
// What an operator needs to know goes to Fluent Bit's log instead.
func init() { log.SetOutput(io.Discard) }

func main() {}

// FLBPluginPreRegister returns an error if one configuration loads the plugin twice. A
// reload reads the new configuration while the old one runs, so it may call this again.
//
//export FLBPluginPreRegister
func FLBPluginPreRegister(hotReloading C.int) C.int {
	var first, second [maxPath]C.char
	if C.dfn_admit(hotReloading, &first[0], &second[0], maxPath) == 0 {
		return 0
	}

	text := C.CString(instance.LoadedTwice(C.GoString(&first[0]), C.GoString(&second[0]), os.Args))
	defer C.free(unsafe.Pointer(text))
	C.dfn_warn(text)

	return -1
}

const maxPath = 4096

// FLBPluginRegister tells Fluent Bit the name of the plugin. Fluent Bit calls it when it
// loads the file.
//
//export FLBPluginRegister
func FLBPluginRegister(def unsafe.Pointer) C.int {
	return C.int(input.FLBPluginRegister(def, "defender", "Microsoft Defender alerts of customers' tenants"))
}

// FLBPluginUnregister frees what FLBPluginRegister has allocated. In a reload the old
// registration ends after the new one has begun, so nothing else is freed here.
//
//export FLBPluginUnregister
func FLBPluginUnregister(def unsafe.Pointer) {
	C.dfn_ended()
	input.FLBPluginUnregister(def)
}

// FLBPluginInit starts one [INPUT] section. It returns FLB_OK, or FLB_ERROR after it
// has logged a line for each fault.
//
//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) C.int {
	C.dfn_started()
	p := (*C.struct_dfn_input)(plugin)
	h := &host{
		plugin: plugin,
		api:    p.api,
		ins:    p.i_ins,
		append: C.dfn_find_append(),
	}

	handle, ok := process.Open(h, thread(), os.Getpid() != loadedBy)
	h.plugin = nil // shared by all instances, and gone after Init

	if !ok {
		return input.FLB_ERROR
	}

	C.dfn_set_handle(p.context, C.uintptr_t(handle))

	return input.FLB_OK
}

// FLBPluginInputCallbackCtx is called once a second on Fluent Bit's thread. It delivers
// what is queued, and never waits.
//
//export FLBPluginInputCallbackCtx
func FLBPluginInputCallbackCtx(ctx unsafe.Pointer, data *unsafe.Pointer, size *C.size_t) C.int {
	return collect(instance.Handle(uintptr(ctx)), data, size)
}

// FLBPluginInputCallback is FLBPluginInputCallbackCtx for hosts that pass no context.
//
//export FLBPluginInputCallback
func FLBPluginInputCallback(data *unsafe.Pointer, size *C.size_t) C.int {
	return collect(process.OnThread(thread()), data, size)
}

func collect(h instance.Handle, data *unsafe.Pointer, size *C.size_t) C.int {
	*data, *size = nil, 0

	if events := process.Collect(h); len(events) > 0 {
		*data, *size = C.CBytes(events), C.size_t(len(events))
	}

	return input.FLB_OK
}

// FLBPluginInputCleanupCallbackCtx frees a buffer that Fluent Bit has copied: its events
// are delivered.
//
//export FLBPluginInputCleanupCallbackCtx
func FLBPluginInputCleanupCallbackCtx(ctx, data unsafe.Pointer) C.int {
	C.free(data)
	process.Cleanup(instance.Handle(uintptr(ctx)))

	return input.FLB_OK
}

// FLBPluginInputCleanupCallback is FLBPluginInputCleanupCallbackCtx for hosts that pass
// no context.
//
//export FLBPluginInputCleanupCallback
func FLBPluginInputCleanupCallback(data unsafe.Pointer) C.int {
	C.free(data)
	process.Cleanup(process.OnThread(thread()))

	return input.FLB_OK
}

// FLBPluginInputPause stops delivery until FLBPluginInputResume. Fluent Bit may call it
// from inside an append of ours, on the same thread.
//
//export FLBPluginInputPause
func FLBPluginInputPause() { process.Pause(thread().ID) }

// FLBPluginInputResume ends a pause.
//
//export FLBPluginInputResume
func FLBPluginInputResume() { process.Resume(thread().ID) }

// FLBPluginExit ends all instances of the calling thread: it gets no context, so it
// cannot know which of them is meant.
//
//export FLBPluginExit
func FLBPluginExit() C.int {
	process.Exit(thread().ID)

	return input.FLB_OK
}

func thread() instance.Thread {
	var name [32]C.char
	C.dfn_thread_name(&name[0], C.size_t(len(name)))

	return instance.Thread{ID: uint64(C.dfn_thread()), Name: C.GoString(&name[0])}
}

// host implements instance.Host for one instance.
type host struct {
	plugin unsafe.Pointer // argument of FLBPluginInit; nil after it
	api    *C.struct_dfn_api
	ins    unsafe.Pointer
	append C.dfn_append_fn
}

// Get implements config.Getter; it works during Init only.
func (h *host) Get(key string) string { return input.FLBPluginConfigKey(h.plugin, key) }

// LogEnabled implements instance.Host.
func (h *host) LogEnabled(level int) bool { return C.dfn_log_check(h.api, h.ins, C.int(level)) != 0 }

// Log implements instance.Host.
func (h *host) Log(level int, text string) {
	c := C.CString(text)
	defer C.free(unsafe.Pointer(c))
	C.dfn_log(h.api, C.int(level), c)
}

// CanAppend implements instance.Host.
func (h *host) CanAppend() bool { return h.append != nil }

// Append implements instance.Host.
func (h *host) Append(tag string, events []byte) bool {
	var c *C.char
	if tag != "" {
		c = C.CString(tag)
		defer C.free(unsafe.Pointer(c))
	}

	return C.dfn_append(
		h.append,
		h.ins,
		c,
		C.size_t(len(tag)),
		unsafe.Pointer(unsafe.SliceData(events)),
		C.size_t(len(events)), //nolint:nlreturn // cgo puts a return of its own here
	) == 0
}
