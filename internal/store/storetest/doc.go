// Package storetest has the conformance tests of package store: every implementation
// runs the same ones. Its callers are tests; nothing else may import it.
package storetest
