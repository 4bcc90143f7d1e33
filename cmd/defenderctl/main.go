// Defenderctl is the companion of the input plugin: it signs in to customers' tenants,
// checks configurations, and shows the state of the inputs.
package main

import (
	"io"
	"log"
	"os"

	"fluent-bit-defender/internal/cli"
)

// Package log is silenced, since lines that Go's own packages print may quote a
// response with a secret in it, or with GODEBUG=http2debug the headers of every
// request. What an operator needs to know is in the errors of a command.
func init() { log.SetOutput(io.Discard) }

func main() { os.Exit(cli.Main(os.Args[1:])) }
