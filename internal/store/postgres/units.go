package postgres

import "fluent-bit-defender/internal/store"

// unitState is what a Store needs for its units.
type unitState struct {
	store.Units
	store.Documents
}
