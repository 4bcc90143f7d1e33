//go:build !race

package setup

// detector reports whether this test binary was built with the race detector.
const detector = false
