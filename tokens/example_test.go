package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// A Source returns access tokens. Its errors say what to do.
func ExampleSource() {
	service := &fake{newest: 7} // stands for login.microsoftonline.com
	store := tokens.NewKeeper(tokenstest.New(), nil)
	app := tokens.App{
		LoginURL: "https://login.microsoftonline.com",
		TenantID: "contoso.onmicrosoft.com",
		ClientID: client,
		Resource: "https://graph.microsoft.com",
	}

	source, err := tokens.NewSource(
		tokens.SourceConfig{App: app, Store: store, HTTP: &http.Client{Transport: service}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}

	_, err = source.Token(context.Background())

	var e *tokens.Error
	if errors.As(err, &e) {
		command, _, _ := strings.Cut(e.Remedy, " --")
		fmt.Println(e.Fate, "·", command)
	}

	// A person signs in, and the source notices.
	if err := tokens.Adopt(context.Background(), store, app.ChainKey(), tokens.SignIn{
		Refresh:    secret.New("rt7"),
		Account:    "soc@contoso.test",
		TenantName: "contoso",
		At:         time.Now(),
	}); err != nil {
		fmt.Println(err)
	}

	if source.Changed(context.Background()) {
		access, err := source.Token(context.Background())
		fmt.Println(access.Token, access.Expiry.Sub(access.Obtained), err)
	}

	// Output:
	// needs-sign-in · sign in: defenderctl tokens acquire
	// [redacted] 1h0m0s <nil>
}
