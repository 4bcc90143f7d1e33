// Defenderctl is the companion of the input plugin: it signs in to customers'
// tenants, checks configurations, and shows how the inputs do.
package main

import (
	"os"

	"fluent-bit-defender/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
