package instance

import (
	"fmt"
	"os"
	"strings"

	"fluent-bit-defender/internal/config/plain"
)

// maxShownPath is the longest path in a line, in characters.
const maxShownPath = 256

// LoadedTwice returns the line that is printed when a second registration of the plugin
// was refused. first and second are the files that were loaded, which may be one and
// the same; args is the command line of Fluent Bit.
func LoadedTwice(first, second string, args []string) string {
	what := "the plugin " + plain.Text(first, maxShownPath) + " is loaded twice"
	if first != second {
		what = fmt.Sprintf("two copies of the plugin are loaded, %s and %s",
			plain.Text(first, maxShownPath), plain.Text(second, maxShownPath))
	}

	return "[input:defender] " + what + ": " + places(options(args, first, second)) +
		"; the second one is ignored: remove it, or the first"
}

// places says where the two registrations come from. What is not on the command line is
// in the configuration.
func places(options []string) string {
	const configuration = "in the configuration (Plugins_File, or `plugins:` in YAML)"

	switch len(options) {
	case 0:
		return "both times " + configuration
	case 1:
		return "with " + options[0] + " on the command line, and " + configuration
	default:
		return "with " + options[0] + " and " + options[1] + " on the command line"
	}
}

// options returns the options of a command line that load one of the files.
func options(args []string, files ...string) (found []string) {
	for i, arg := range args {
		name, path, joined := strings.Cut(arg, "=")
		switch {
		case joined && name == "--plugin":
		case strings.HasPrefix(arg, "-e") && len(arg) > len("-e"):
			path = arg[len("-e"):]
		case (arg == "-e" || arg == "--plugin") && i+1 < len(args):
			path = args[i+1]
		default:
			continue
		}

		for _, file := range files {
			if sameFile(path, file) {
				found = append(found, "-e "+plain.Text(path, maxShownPath))
				break
			}
		}
	}

	return found
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}

	y, err := os.Stat(b)

	return err == nil && os.SameFile(x, y)
}
