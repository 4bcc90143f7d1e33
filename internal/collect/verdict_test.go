package collect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

func TestNoPollFailsWithoutAReasonOfTheList(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want advice.Reason
	}{
		"an explained fault": {
			&defender.Error{Fault: advice.Fault{Reason: advice.RoleMissing}},
			advice.RoleMissing,
		},
		"a sign-in": {
			tokens.Refusal{AADSTS: []int{65001}, Status: 400}.Explain(tokens.App{}),
			advice.ConsentMissing,
		},
		"the store":              {storeError{errors.New("disk full")}, advice.Store},
		"the store, wrapped":     {fmt.Errorf("reading: %w", storeError{errors.New("disk full")}), advice.Store},
		"a fault that forgot it": {&defender.Error{Fault: advice.Fault{Problem: "odd"}}, advice.Internal},
		"an unknown error":       {errors.New("odd"), advice.Internal},
		"a timeout":              {context.DeadlineExceeded, advice.Internal},
	} {
		v := verdictOf(c.err)
		if v.trouble.Reason != c.want || !v.trouble.Reason.Known() {
			t.Errorf("%s: %q, want %q", name, v.trouble.Reason, c.want)
		}
	}

	if v := verdictOf(nil); v.trouble.Reason != "" {
		t.Errorf("a poll that worked has the reason %q", v.trouble.Reason)
	}
}

func TestTheRemedyOfAStoreThatFailsFitsIt(t *testing.T) {
	for want, err := range map[string]error{
		"data_dir":          store.ErrFull,
		"the database runs": fmt.Errorf("PostgreSQL at db:5432: %w", store.ErrUnreachable),
		"password":          fmt.Errorf("PostgreSQL at db:5432: %w", store.ErrDenied),
	} {
		if remedy := storeTrouble(err).Remedy; !strings.Contains(remedy, want) {
			t.Errorf("%v: %s", err, remedy)
		}
	}
}
