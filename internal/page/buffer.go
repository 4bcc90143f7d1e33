package page

import (
	"io"

	"fluent-bit-defender/internal/jsontext"
)

// take consumes n bytes and returns them. They are valid until the next fill.
func (p *Reader) take(n int) []byte {
	b := p.buf[p.r : p.r+n]
	p.r += n

	return b
}

// span reads the whole value that begins at buf[r] into the buffer and returns its
// length. A value longer than limit bytes is consumed instead, and the error is
// ErrRowTooLarge.
func (p *Reader) span(limit int) (int, error) {
	s, ok := newScanner(p.buf[p.r])
	if !ok {
		return 0, p.syntax()
	}

	n, dropping := 0, false
	for {
		m, done := s.scan(p.buf[p.r+n : p.w])

		n += m
		if done && n <= limit && !dropping {
			return n, nil
		}

		if n > limit || dropping {
			dropping = true
			p.r += n
			n = 0
		}

		if done {
			return 0, ErrRowTooLarge
		}

		if err := p.fill(); err != nil {
			return 0, p.broken(err)
		}
	}
}

// peek returns the next byte that is not white space, without consuming it. Its error is
// that of fill.
func (p *Reader) peek() (byte, error) {
	for {
		for p.r < p.w {
			c := p.buf[p.r]
			if !jsontext.IsSpace(c) {
				return c, nil
			}

			p.r++
		}

		if err := p.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more bytes into the buffer and keeps buf[r:w]. If the buffer is full, it
// makes room first. Its error is that of the source or of the permit.
func (p *Reader) fill() error {
	if p.srcErr != nil {
		return p.srcErr
	}

	if p.r == p.w {
		p.r, p.w = 0, 0
	}

	if p.w == len(p.buf) {
		if err := p.makeRoom(); err != nil {
			return err
		}
	}

	// Not more than opt.Buffer bytes: what follows a large row must fit into the small
	// buffer that shrink moves it to.
	end := min(len(p.buf), p.w+p.opt.Buffer)
	for range 100 {
		n, err := p.src.Read(p.buf[p.w:end])
		p.w += n
		p.srcErr = err

		if n > 0 {
			return nil
		}

		if err != nil {
			return err
		}
	}

	p.srcErr = io.ErrNoProgress

	return p.srcErr
}

// makeRoom moves buf[r:w] to the front of the buffer, or into a larger one.
func (p *Reader) makeRoom() error {
	kept, most := p.w-p.r, max(p.opt.MaxRow, maxText)+p.opt.Buffer

	to := p.buf
	if kept > len(p.buf)/4*3 && len(p.buf) < most {
		size := min(2*len(p.buf), most)
		if size > LargeRow && p.giveUp == nil && p.permit != nil {
			release, err := p.permit()
			if err != nil {
				return err
			}

			p.giveUp = release
		}

		to = make([]byte, size)
	}

	copy(to, p.buf[p.r:p.w])
	p.buf, p.r, p.w = to, 0, kept

	return nil
}
