package tokenstest

import (
	"testing"

	"fluent-bit-defender/tokens"
)

func TestTheMemoryStorePassesTheConformanceTest(t *testing.T) {
	s := New()

	TestChainStore(t, func() tokens.ChainStore { return s })
}
