package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
)

// The exit codes.
const (
	exitOK            = 0
	exitFailed        = advice.ExitFailed
	exitUsage         = 2
	exitNeedsSignIn   = advice.ExitNeedsSignIn
	exitNotAuthorised = advice.ExitNotAuthorised
	exitInterrupted   = 130
)

// usageError is a command line that cannot be carried out as it is.
type usageError struct{ err error }

// Error implements error.
func (e *usageError) Error() string { return e.err.Error() }

// Unwrap returns the error below it, for errors.Is and errors.As.
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// printedError is an error whose text has been printed already.
type printedError struct{ code int }

// Error implements error.
func (e *printedError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// exitCode returns the exit code for an error.
func exitCode(err error) int {
	var (
		t       *printedError
		usage   *usageError
		refused *defender.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &t):
		return t.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return exitNotAuthorised
	}

	return advice.ExitCode(err)
}

// worst returns the exit code of several outcomes.
func worst(codes ...int) int {
	order := []int{exitInterrupted, exitUsage, exitNotAuthorised, exitNeedsSignIn, exitFailed}
	for _, c := range order {
		if slices.Contains(codes, c) {
			return c
		}
	}

	return exitOK
}

// endOf returns how a command ends that did several things, with the exit codes of all
// of them: nil if all succeeded, else an error whose text was printed already.
func endOf(codes []int) error {
	if code := worst(codes...); code != exitOK {
		return &printedError{code}
	}

	return nil
}
