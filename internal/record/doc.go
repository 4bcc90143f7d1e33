// Package record turns one alert, as an API sent it, into one Fluent Bit event.
package record
