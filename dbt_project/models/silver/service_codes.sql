-- This list is edited by hand: add a line to classify another code. It is a model, not a seed, so that `dbt run`
-- builds everything on a new database without `dbt seed`.

select
    stock_code,
    category,
    note

from (
    values
        ('AMAZONFEE', 'Fee', 'Amazon fee'),
        ('B', 'Adjustment', 'Adjust bad debt'),
        ('BANK CHARGES', 'Fee', 'Bank charges'),
        ('C2', 'Carriage', 'Carriage'),
        ('CRUK', 'Fee', 'CRUK commission'),
        ('D', 'Discount', 'Discount'),
        ('DCGS0003', 'Dotcomgiftshop', 'Boxed glass ashtray'),
        ('DCGS0004', 'Dotcomgiftshop', 'Haynes camper shoulder bag'),
        ('DCGS0055', 'Dotcomgiftshop', 'Never described'),
        ('DCGS0057', 'Dotcomgiftshop', 'Never described'),
        ('DCGS0066P', 'Dotcomgiftshop', 'Never described'),
        ('DCGS0067', 'Dotcomgiftshop', 'Remarks only'),
        ('DCGS0068', 'Dotcomgiftshop', 'Remarks only'),
        ('DCGS0069', 'Dotcomgiftshop', 'Ooh la la dogs collar'),
        ('DCGS0070', 'Dotcomgiftshop', 'Camouflage dog collar'),
        ('DCGS0071', 'Dotcomgiftshop', 'Never described'),
        ('DCGS0072', 'Dotcomgiftshop', 'Never described'),
        ('DCGS0073', 'Dotcomgiftshop', 'Remarks only'),
        ('DCGS0074', 'Dotcomgiftshop', 'Never described'),
        ('DCGS0076', 'Dotcomgiftshop', 'Sunjar LED night light'),
        ('DCGSSBOY', 'Dotcomgiftshop', 'Boys party bag'),
        ('DCGSSGIRL', 'Dotcomgiftshop', 'Girls party bag'),
        ('DOT', 'Postage', 'Dotcom postage'),
        ('M', 'Manual', 'Manual'),
        ('m', 'Manual', 'Manual, typed in lower case'),
        ('PADS', 'Cushion pads', 'Pads to match all cushions'),
        ('POST', 'Postage', 'Postage'),
        ('S', 'Samples', 'Samples'),
        ('gift_0001_10', 'Gift voucher', 'Voucher of 10 pounds'),
        ('gift_0001_20', 'Gift voucher', 'Voucher of 20 pounds'),
        ('gift_0001_30', 'Gift voucher', 'Voucher of 30 pounds'),
        ('gift_0001_40', 'Gift voucher', 'Voucher of 40 pounds'),
        ('gift_0001_50', 'Gift voucher', 'Voucher of 50 pounds')
) as service_codes (stock_code, category, note)
