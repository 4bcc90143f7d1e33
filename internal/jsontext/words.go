package jsontext

// The functions below look at the eight bytes of x at once, read in little-endian order,
// and set the highest bit of those that they look for
// (https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord). Bytes above the lowest
// marked one may be marked wrongly, since a subtraction borrows from them: the offset of
// the first such byte is bits.TrailingZeros64 of the result, divided by 8.

// Masks: the lowest and the highest bit of each of eight bytes.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Special marks the bytes that end a run of plain text within a string: a quote, a
// backslash, and a control character.
func Special(x uint64) uint64 {
	q, s := x^'"'*ones, x^'\\'*ones
	return ((x-' '*ones)&^x | (q-ones)&^q | (s-ones)&^s) & highs
}

// SpecialOrForeign marks the same bytes as Special, and those that are not ASCII.
func SpecialOrForeign(x uint64) uint64 {
	return (x | (x - ' '*ones) | (x ^ '"'*ones - ones) | (x ^ '\\'*ones - ones)) & highs
}

// QuoteOrBackslash marks quotes and backslashes.
func QuoteOrBackslash(x uint64) uint64 {
	q, s := x^'"'*ones, x^'\\'*ones
	return ((q-ones)&^q | (s-ones)&^s) & highs
}

// Backslash marks backslashes.
func Backslash(x uint64) uint64 {
	s := x ^ '\\'*ones
	return (s - ones) &^ s & highs
}
