package tokens

import (
	"fmt"
	"time"
)

// RefreshLife is how long a refresh token lives without being used. Each use returns
// one with a new life.
//
// https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime
const RefreshLife = 90 * 24 * time.Hour

// WarnBefore is how long before its end a credential is worth a warning.
const WarnBefore = 14 * 24 * time.Hour

// Forecast is what is known about the end of a credential before it comes.
type Forecast struct {
	// Ends is when it ends, zero when that is not known.
	Ends time.Time
	// Ended says that it is of no use any more, Soon that it ends within WarnBefore or
	// has ended.
	Ended, Soon bool
	// Text says this in a sentence, and Remedy what to do. Both are empty as long as
	// nothing needs to be done.
	Text, Remedy string
}

// State returns the forecast in a few words, for a table: "ok", "ends in 5 days",
// "ended".
func (f Forecast) State(now time.Time) string {
	switch {
	case f.Ended:
		return "ended"
	case f.Soon:
		return "ends in " + days(f.Ends.Sub(now))
	}

	return "ok"
}

// Forecast returns when the chain ends if nobody uses it: RefreshLife after its last
// refresh. A chain that the service declared dead has ended. app is the application of
// the chain; remedies name its command.
func (c Chain) Forecast(now time.Time, app App) Forecast {
	if !c.Dead.IsZero() {
		return c.deadForecast(app)
	}

	issued := c.Refreshed
	if issued.IsZero() {
		issued = c.Obtained
	}

	if issued.IsZero() {
		return Forecast{}
	}

	f := Forecast{Ends: issued.Add(RefreshLife)}
	switch left := f.Ends.Sub(now); {
	case left <= 0:
		f.Ended = true
		f.Soon = true
		f.Remedy = fill(signInAgain, app)
		f.Text = "the refresh token was not used for 90 days and has ended"
	case left <= WarnBefore:
		f.Soon = true
		f.Remedy = fill("start the input, or run: defenderctl tokens refresh {tenant} --config FILE", app.atHome())
		f.Text = fmt.Sprintf(
			"the refresh token has not been refreshed since %s and ends in %s",
			issued.UTC().Format(time.DateOnly),
			days(left),
		)
	}

	return f
}

// deadForecast returns the forecast of a chain that the service declared dead, in the
// words of its refusal.
func (c Chain) deadForecast(app App) Forecast {
	e := c.Dead.Explain(app.atHome())
	f := Forecast{
		Ends:   c.Rejected,
		Ended:  true,
		Soon:   true,
		Text:   e.Message(),
		Remedy: e.Remedy,
	}

	if !c.Rejected.IsZero() {
		f.Text = "since " + c.Rejected.UTC().Format(time.DateOnly) + ": " + f.Text
	}

	return f
}

// Forecast returns when the certificate ends.
func (i CertificateInfo) Forecast(now time.Time) Forecast {
	const remedy = "make a new certificate, add it to the application's registration, " +
		"and put it into client_certificate_file"

	return credentialForecast("the client certificate", i.NotAfter, now, remedy)
}

// SecretForecast returns when the application's secret ends.
func (a App) SecretForecast(now time.Time) Forecast {
	if a.SecretEnds.IsZero() {
		return Forecast{}
	}

	const remedy = "make a new secret in the application's registration, put its value into client_secret_file, " +
		"and its end into client_secret_expires"

	f := credentialForecast("the client secret", a.SecretEnds, now, remedy)
	if f.Ended {
		f.Text += ", if client_secret_expires is right"
	}

	return f
}

// credentialForecast returns when a credential of the application ends. name is what
// people call it, remedy what they have to do then.
func credentialForecast(name string, ends, now time.Time, remedy string) Forecast {
	f := Forecast{Ends: ends}

	left := ends.Sub(now)
	if left > WarnBefore {
		return f
	}

	f.Soon = true
	f.Remedy = remedy
	f.Text = name + " ends in " + days(left)

	if left <= 0 {
		f.Ended = true
		f.Text = name + " ended on " + ends.UTC().Format(time.DateOnly)
	}

	return f
}

// days returns a duration in days, as people say it.
func days(d time.Duration) string {
	switch n := int(d.Round(time.Hour) / (24 * time.Hour)); {
	case n < 1:
		return "less than a day"
	case n == 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
