// Defenderctl is the companion of the input plugin: it signs in to customers'
// tenants, checks configurations, and shows how the inputs do.
package main

import (
	"io"
	"log"
	"os"

	"fluent-bit-defender/internal/cli"
)

// Go's own packages print lines that may quote a response, with a secret in it, or with
// GODEBUG=http2debug the headers of every request. What an operator needs comes as an
// error instead.
func init() { log.SetOutput(io.Discard) }

func main() { os.Exit(cli.Main(os.Args[1:])) }
