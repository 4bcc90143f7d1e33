package simulator

import (
	"fmt"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/tick"
)

// filterParser reads the part of OData's $filter that the APIs document: eq ne gt ge lt
// le and or, parentheses, quoted strings, numbers, null, and date-times without quotes,
// with a zone (OData Version 4.01, part 2: URL conventions, section 5.1.1).
type filterParser struct {
	rest  string
	props []property
	nodes int
	depth int
}

// The limits of ASP.NET's OData library, which the services are built with.
const (
	maxFilterNodes = 100
	maxFilterDepth = 50
)

type filterError string

// Error implements error.
func (e filterError) Error() string { return "Invalid filter clause: " + string(e) }

func parseFilter(text string, props []property) (condition, error) {
	p := &filterParser{rest: text, props: props}

	c, err := p.or()
	if err != nil {
		return nil, err
	}

	if p.space(); p.rest != "" {
		return nil, p.syntax()
	}

	return c, nil
}

func (p *filterParser) syntax() error {
	near := p.rest
	if len(near) > 30 {
		near = near[:30]
	}

	return filterError(fmt.Sprintf("Syntax error near '%s'.", strings.ToValidUTF8(near, "?")))
}

func (p *filterParser) space() bool {
	n := len(p.rest)
	p.rest = strings.TrimLeft(p.rest, " \t")

	return len(p.rest) < n
}

// word takes a keyword that stands between spaces or parentheses.
func (p *filterParser) word(w string) bool {
	rest, ok := strings.CutPrefix(p.rest, w)
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' && rest[0] != '(' {
		return false
	}

	p.rest = rest

	return true
}

func (p *filterParser) or() (condition, error) {
	c, err := p.and()
	for err == nil {
		if p.space(); !p.word("or") {
			return c, nil
		}

		var d condition
		if d, err = p.and(); err == nil {
			c = either{c, d}
		}
	}

	return nil, err
}

func (p *filterParser) and() (condition, error) {
	c, err := p.term()
	for err == nil {
		if p.space(); !p.word("and") {
			return c, nil
		}

		var d condition
		if d, err = p.term(); err == nil {
			c = both{c, d}
		}
	}

	return nil, err
}

func (p *filterParser) term() (condition, error) {
	p.space()

	if p.nodes += 4; p.nodes > maxFilterNodes { // an operator, two operands, and what joins them
		return nil, filterError("The node count limit of '100' has been exceeded.")
	}

	rest, ok := strings.CutPrefix(p.rest, "(")
	if !ok {
		return p.compare()
	}

	if p.depth++; p.depth > maxFilterDepth {
		return nil, filterError("The recursion limit has been exceeded.")
	}

	p.nodes -= 4
	p.rest = rest

	c, err := p.or()
	if err != nil {
		return nil, err
	}

	p.depth--
	if p.space(); !strings.HasPrefix(p.rest, ")") {
		return nil, p.syntax()
	}

	p.rest = p.rest[1:]

	return c, nil
}

// literal is an operand that is no property.
type literal struct {
	kind propKind
	null bool
	text string
	num  float64
	at   tick.Tick
}

var kindNames = map[string]string{
	"eq": "Equal",
	"ne": "NotEqual",
	"gt": "GreaterThan",
	"ge": "GreaterThanOrEqual",
	"lt": "LessThan",
	"le": "LessThanOrEqual",
}

var flipped = map[string]string{"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}

// compare reads a comparison: a property, an operator and a constant, or the other way
// round.
func (p *filterParser) compare() (condition, error) {
	left, leftValue, err := p.operand()
	if err != nil {
		return nil, err
	}

	op := p.operator()
	if op == "" {
		return nil, p.syntax()
	}

	right, rightValue, err := p.operand()
	if err != nil {
		return nil, err
	}

	kind := kindNames[op]

	if left == nil && right != nil {
		left = right
		rightValue = leftValue
		op = flipped[op]
	} else if left == nil || right != nil {
		return nil, filterError("One operand must be a property and the other a constant.")
	}

	switch {
	case rightValue.null && op != "eq" && op != "ne":
		return nil, filterError("null can only be compared by eq and ne.")
	case !rightValue.null && left.kind != rightValue.kind:
		return nil, filterError(fmt.Sprintf("A binary operator with incompatible types was detected. "+
			"Found operand types '%s' and '%s' for operator kind '%s'.", edm[left.kind], edm[rightValue.kind], kind))
	}

	return comparison{left, op, rightValue.null, rightValue.text, rightValue.num, rightValue.at}, nil
}

// operator reads an operator between spaces. It returns "" if there is none.
func (p *filterParser) operator() string {
	if !p.space() {
		return ""
	}

	for name := range kindNames {
		if p.word(name) {
			if !p.space() {
				return ""
			}

			return name
		}
	}

	return ""
}

// operand reads a property or a constant.
func (p *filterParser) operand() (*property, literal, error) {
	if strings.HasPrefix(p.rest, "'") {
		text, err := p.quoted()
		return nil, literal{kind: propString, text: text}, err
	}

	n := strings.IndexAny(p.rest, " \t()',")
	if n < 0 {
		n = len(p.rest)
	}

	word := p.rest[:n]
	if word == "" {
		return nil, literal{}, p.syntax()
	}

	if c := word[0]; c >= '0' && c <= '9' || c == '-' {
		l, err := number(word)
		if err == nil {
			p.rest = p.rest[n:]
		}

		return nil, l, err
	}

	p.rest = p.rest[n:]

	if word == "null" {
		return nil, literal{null: true}, nil
	}

	for i := range p.props {
		if p.props[i].name == word {
			return &p.props[i], literal{}, nil
		}
	}

	return nil, literal{}, filterError(
		fmt.Sprintf("Could not find a property named '%s', or it cannot be filtered by.", word),
	)
}

func (p *filterParser) quoted() (string, error) {
	var b strings.Builder

	for i := 1; i < len(p.rest); i++ {
		if p.rest[i] != '\'' {
			b.WriteByte(p.rest[i])
			continue
		}

		if i+1 < len(p.rest) && p.rest[i+1] == '\'' { // two quotes are one
			b.WriteByte('\'')

			i++

			continue
		}

		p.rest = p.rest[i+1:]

		return b.String(), nil
	}

	return "", filterError("There is an unterminated string literal.")
}

// number reads a number or a date-time. The latter must have a zone, although the
// message of Graph says that it is optional (OpenAEV-Platform/collectors issue 564),
// and at most seven fraction digits, as .NET's type has.
func number(word string) (literal, error) {
	if len(word) > 10 && word[4] == '-' && word[7] == '-' {
		t, err := tick.Parse(word)

		zone := strings.HasSuffix(word, "Z") || len(word) > 16 && strings.ContainsAny(word[16:], "+-")
		if err != nil || !zone || word[10] != 'T' || strings.ContainsAny(word, "z") ||
			len(word) > 19 && word[19] == '.' && fractionDigits(word) > 7 {
			return literal{}, filterError(
				fmt.Sprintf(
					"The DateTimeOffset text '%s' should be in format 'yyyy-mm-ddThh:mm:ss('.'s+)?(zzzzzz)?' and "+
						"each field value is within valid range.",
					word,
				),
			)
		}

		return literal{kind: propTime, at: t}, nil
	}

	x, err := strconv.ParseFloat(word, 64)
	if err != nil || strings.ContainsAny(word, "xXpP_nN") {
		return literal{}, filterError(fmt.Sprintf("The literal '%s' is not valid.", word))
	}

	return literal{kind: propNumber, num: x}, nil
}

func fractionDigits(word string) int {
	n := 0

	for _, c := range word[20:] {
		if c < '0' || c > '9' {
			break
		}

		n++
	}

	return n
}
