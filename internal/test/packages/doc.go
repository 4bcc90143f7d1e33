// Package packages has the tests of what `make dist` makes, and of the files in deploy
// that are no code: scripts, units, manual pages, containers. They use the programs that
// judge such files on the target systems (lintian, rpm, systemd-analyze, mandoc,
// shellcheck). Where one is missing, or dist is, a test is skipped; under CI it fails.
package packages
