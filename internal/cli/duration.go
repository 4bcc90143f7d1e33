package cli

import (
	"time"

	"fluent-bit-defender/internal/config"
)

// duration is a flag that is written as the input's keys are: 90s, 10m, 7d, or a bare
// number of seconds.
type duration struct{ value *time.Duration }

func newDuration(value *time.Duration, usual time.Duration) *duration {
	*value = usual
	return &duration{value}
}

// String implements fmt.Stringer.
func (d *duration) String() string {
	if d.value == nil { // pflag asks the zero value
		return ""
	}

	return config.FormatDuration(*d.value)
}

// Set implements pflag.Value.
func (d *duration) Set(s string) (err error) {
	*d.value, err = config.ParseDuration(s)
	return err
}

// Type implements pflag.Value.
func (d *duration) Type() string { return "duration" }
