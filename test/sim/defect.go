package sim

import "fmt"

// Defect is a bug that is planted in the simulated node, to see that the
// checkers catch it.
type Defect uint8

const (
	NoDefect Defect = iota
	AtLeastIgnored
)

var defectNames = [...]string{"none", "at_least ignored"}

func (d Defect) String() string { return defectNames[d] }

func parseDefect(s string) (Defect, error) {
	return 0, fmt.Errorf("no defect %q", s)
}
