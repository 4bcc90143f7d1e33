// Command house measures how the code of a module reads and checks the bounds that
// linters have no rule for: paragraphs inside functions, the width of comments,
// literals with several fields on a line, and words that the glossary of
// ARCHITECTURE.md replaces.
//
//	go run ./house ..            # prints every violation, exits 1 if there is one
//	go run ./house -figures ..   # prints the figures only
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	figuresOnly := flag.Bool("figures", false, "print the figures and check nothing")

	flag.Parse()

	root := "."
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}

	tree, err := load(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(2)
	}

	pages, err := loadPages(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(2)
	}

	report := measure(tree)
	report.markdown(root, pages, collectNames(tree))
	report.picture(root, tree)
	report.owners(root, tree)

	if *figuresOnly {
		for kind, name := range []string{"product and test kits", "tests", "tools"} {
			fmt.Println(name + ":")
			report.figures[kind].print(os.Stdout)
		}

		return
	}

	for _, v := range report.violations {
		fmt.Println(v)
	}

	if len(report.violations) > 0 {
		fmt.Fprintf(os.Stderr, "house: %d violations\n", len(report.violations))
		os.Exit(1)
	}
}
