package tokens

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/secret"
)

// Device is a sign-in on another device under way (RFC 8628 section 3.2).
type Device struct {
	// UserCode is what the person enters at VerificationURI, until Expiry.
	UserCode, VerificationURI string
	// Message is the service's own instruction, in one line; may be empty.
	Message string
	// Expiry is when the code ends.
	Expiry time.Time
	// Interval is the pause between two polls.
	Interval time.Duration

	code secret.Text
}

// defaultDeviceLife is assumed where the service does not say; Entra's codes live 15
// minutes.
const defaultDeviceLife = 15 * time.Minute

// defaultInterval is the pause where the service names none: RFC 8628 section 3.2.
const defaultInterval = 5 * time.Second

// DeviceAuth asks for a code that a person enters on another device. The registration
// must allow public client flows.
//
// v1 answers with verification_url and numbers as strings, v2 as RFC 8628 says; both
// are read. https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
func (c Client) DeviceAuth(ctx context.Context) (*Device, error) {
	bare := c
	bare.App.Credential = nil // the device endpoint takes none

	ctx, w, fault := bare.prepare(ctx, c.App.resource())
	if fault != nil {
		return nil, fault
	}

	start := c.now()

	if _, err := c.deviceConfig().DeviceAuth(ctx); err != nil {
		return nil, w.failure(err)
	}

	a := w.answer
	if a.deviceCode.IsZero() || a.userCode == "" || a.verification == "" {
		return nil, w.failure(errors.New("no device code in the answer"))
	}

	d := &Device{
		UserCode:        a.userCode,
		VerificationURI: a.verification,
		Message:         a.message,
		Interval:        a.interval,
		code:            a.deviceCode,
	}
	if d.Interval < time.Second {
		d.Interval = defaultInterval
	}

	life := a.life
	if life == 0 {
		life = defaultDeviceLife
	}

	d.Expiry = start.Add(life)

	return d, nil
}

// slowDownStep is what a slow_down adds to the interval for good: RFC 8628 section 3.5.
const slowDownStep = 5 * time.Second

// DevicePoll asks until the person has signed in or declined, or the code has ended. A
// slow_down makes the interval longer for good, and so does a fault of the network,
// which does not end the sign-in.
func (c Client) DevicePoll(ctx context.Context, d *Device) (Tokens, error) {
	caller := ctx

	ctx, cancel := context.WithTimeout(ctx, d.Expiry.Sub(c.now()))
	defer cancel()

	interval := d.Interval

	for {
		t, slowDowns, err := c.pollDevice(ctx, d, interval)
		interval += time.Duration(slowDowns) * slowDownStep

		if err != nil && ctx.Err() != nil {
			return Tokens{}, c.deviceEnd(caller)
		}

		var e *Error
		if err == nil || !errors.As(err, &e) || e.Fate != advice.TryAgain {
			return t, err
		}

		interval += slowDownStep
		if pause.For(ctx, e.RetryAfter-interval) != nil {
			return Tokens{}, c.deviceEnd(caller)
		}
	}
}

// pollDevice lets the library poll at an interval until it gives up or has an answer.
// It returns how often the service said slow_down.
func (c Client) pollDevice(ctx context.Context, d *Device, interval time.Duration) (Tokens, int, error) {
	extra := c.App.resource()

	var drop []string

	if c.App.Version == V1 {
		// As ADAL polls: the grant has a short name, and the code is called code.
		extra.Set("grant_type", "device_code")
		extra.Set("code", d.code.Reveal())

		drop = []string{"device_code", "scope"}
	}

	slowDowns := 0
	t, err := c.tokens(ctx, extra, secret.Text{}, func(ctx context.Context, w *wire) (*oauth2.Token, error) {
		w.drop = drop

		t, err := c.deviceConfig().DeviceAccessToken(ctx, &oauth2.DeviceAuthResponse{
			DeviceCode: d.code.Reveal(),
			Interval:   int64((interval + time.Second - 1) / time.Second),
		})
		slowDowns = w.slowDowns

		return t, err
	})

	return t, slowDowns, err
}

// deviceConfig returns the library's configuration for a device code. At v2 it asks for
// an id token too, which has the account's name.
func (c Client) deviceConfig() *oauth2.Config {
	conf := c.App.config()
	if c.App.Version == V2 {
		conf.Scopes = withScopes(conf.Scopes, "openid", "profile")
	}

	return conf
}

// deviceEnd returns the error when the wait has ended: the caller's own if it has one,
// else that the code has expired.
func (c Client) deviceEnd(caller context.Context) error {
	if err := caller.Err(); err != nil {
		return err
	}

	return Refusal{OAuth: "expired_token"}.Explain(c.App)
}
