package pec

// ParseAddressList reads the value of a field such as To.
func ParseAddressList(raw string) ([]Address, error) { return nil, errNotYet }
