package health

import "fluent-bit-defender/internal/advice"

// Trouble is what is wrong with a unit, and what to do about it. The zero value says
// that nothing is wrong. It holds no secret.
type Trouble struct {
	// Reason is one word of the closed list; empty only in the zero value.
	Reason advice.Reason
	// Message is a sentence about what is wrong, with the codes of the service.
	Message string
	// Remedy says what a person can do; empty where there is nothing to do.
	Remedy string
	// Trace has the ids that Microsoft's support asks for; empty when there are none.
	Trace string
}
