package config

import "strings"

// Nearest returns the candidate that was probably meant with s, or "".
func Nearest(s string, candidates []string) string { return nearest(s, candidates) }

// nearest returns the candidate that was probably meant with s, or "". The distance is
// the number of letters that were added, left out, changed or swapped with their
// neighbour (optimal string alignment).
func nearest(s string, candidates []string) string {
	s = strings.ToLower(s)
	if len(s) > 64 || s == "" {
		return ""
	}

	best, least := "", 0

	for _, c := range candidates {
		d := distance(s, strings.ToLower(c))
		if d <= max(1, min(len(s), len(c))/3) && (best == "" || d < least) {
			best, least = c, d
		}
	}

	return best
}

func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}

	for j := range d[0] {
		d[0][j] = j
	}

	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}

			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}

	return d[len(a)][len(b)]
}
