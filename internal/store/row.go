package store

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrRow says that a row cannot be read: it is damaged, or a later version of the program wrote it.
var ErrRow = errors.New("store: unreadable row")

// rowVersion is the first byte of every encoded row.
const rowVersion = 1

// Encode turns what stands in a row into its bytes: a version and JSON. The caller owns them.
func Encode(row any) ([]byte, error) {
	data, err := json.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return append([]byte{rowVersion}, data...), nil
}

// Decode reads into row, a pointer, what [Encode] wrote. It copies what it keeps. What it cannot read is [ErrRow].
func Decode(data []byte, row any) error {
	if len(data) == 0 || data[0] != rowVersion {
		return fmt.Errorf("%w: its version is not %d", ErrRow, rowVersion)
	}
	if err := json.Unmarshal(data[1:], row); err != nil {
		return fmt.Errorf("%w: %w", ErrRow, err)
	}
	return nil
}
